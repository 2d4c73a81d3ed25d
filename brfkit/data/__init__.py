"""Data sets behind one interface: `load` reads or generates one, `dataset_spec` tells its facts."""

from brfkit.data.base import Batch, DataFile, Dataset, DataSpec, DenseSplit, Request, Split
from brfkit.data.files import data_folder
from brfkit.data.registry import FileCheck, check_files, dataset_names, dataset_spec, load

__all__ = [
    "Batch",
    "DataFile",
    "DataSpec",
    "Dataset",
    "DenseSplit",
    "FileCheck",
    "Request",
    "Split",
    "check_files",
    "data_folder",
    "dataset_names",
    "dataset_spec",
    "load",
]
