"""Trained networks as files: our `.npz`, the LSTM baseline's, and the `.pt` files of the published implementation."""
