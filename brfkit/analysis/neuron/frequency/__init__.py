"""Frequency response of neurons, by the transfer function of their update and measured on simulated ones."""
