"""Gradient norms over time."""
