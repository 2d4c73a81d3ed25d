"""Hyper-parameter studies on Optuna: a space of settings, trials that are run folders, one or many processes."""
