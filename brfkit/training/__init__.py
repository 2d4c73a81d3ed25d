"""Training by BPTT: ``run.train`` is the way in, ``Trainer`` the loop over batches, ``Epochs`` that over epochs."""
