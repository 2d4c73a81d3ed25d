"""Run folders: configuration, presets, metrics, provenance, checkpoints of one training run. Needs no torch."""
