"""Trained networks: inspection, gradients through time, robustness."""
