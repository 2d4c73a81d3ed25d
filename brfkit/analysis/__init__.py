"""Analyses by subject: single neurons, trained networks, error surfaces, runs."""
