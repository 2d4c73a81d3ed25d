"""Files: atomic writing, and readers that do not trust what a file declares. Knows nothing of neurons or networks."""
