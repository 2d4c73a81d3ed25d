"""Perturbations of input, spikes and weights."""
