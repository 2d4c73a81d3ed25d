"""Gradient magnitude back through time."""
