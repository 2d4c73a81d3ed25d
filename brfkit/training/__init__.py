"""Training by BPTT. Importing this imports torch."""
