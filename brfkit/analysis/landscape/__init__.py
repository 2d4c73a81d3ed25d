"""The error surface around a trained network: loss over a plane, or along a line, through its weights."""
