"""One HTML page about a trained network."""
