"""Downloading data sets, every file checked against its published checksum."""
