"""Speed against a plain PyTorch loop."""
