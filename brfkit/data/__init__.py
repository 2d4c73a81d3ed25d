"""Data sets behind one interface: `load` reads or generates one, `dataset_spec` tells its facts."""

from brfkit.data.audio import AudioSettings
from brfkit.data.base import Batch, DataFile, Dataset, DataSpec, DenseSplit, EventSplit, Request, Split
from brfkit.data.binning import PAPER, Binning, bin_events
from brfkit.data.describing import Description, FileState, describe
from brfkit.data.files import data_folder
from brfkit.data.registry import ARRAYS, FileCheck, check_files, dataset_names, dataset_spec, load
from brfkit.data.remote.fetch import Fetched, fetch
from brfkit.data.validation import holdout

__all__ = [
    "ARRAYS",
    "PAPER",
    "AudioSettings",
    "Batch",
    "Binning",
    "DataFile",
    "DataSpec",
    "Dataset",
    "DenseSplit",
    "Description",
    "EventSplit",
    "Fetched",
    "FileCheck",
    "FileState",
    "Request",
    "Split",
    "bin_events",
    "check_files",
    "data_folder",
    "dataset_names",
    "dataset_spec",
    "describe",
    "fetch",
    "holdout",
    "load",
]
