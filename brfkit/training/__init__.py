"""Training by BPTT. ``loop``, ``losses`` and ``run`` import torch, the other modules do not."""
