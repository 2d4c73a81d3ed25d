"""A bank of resonators as a spectrogram."""
