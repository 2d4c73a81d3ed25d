"""From the text of kernels to machine code, and its calls from several threads."""
