"""Readers of file formats: IDX, MAT 5, the HDF5 layout of the Heidelberg data sets, ECG records."""
