"""Spiking Heidelberg Digits and Spiking Speech Commands: words as spikes of 700 cochlear channels."""

from __future__ import annotations

from brfkit.data.base import DataFile, DataSpec, EventSplit, Request
from brfkit.data.binning import Binning
from brfkit.data.eventcache import read_events
from brfkit.data.files import locate

CHANNELS = 700
DURATION = 1.4
"""Seconds; no recording of SHD or SSC is longer. The default binning covers them."""

SHD_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"),
)
SSC_WORDS = (
    *("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"),
    *SHD_WORDS[:10],
    *("bed", "bird", "cat", "dog", "happy", "house", "marvin", "sheila", "tree", "wow"),
    *("backward", "forward", "follow", "learn", "visual"),
)

_SERVERS = ("https://zenkelab.org/datasets/", "https://compneuro.net/datasets/")


def _read(spec_name: str, classes: int, request: Request) -> EventSplit:
    file = next(f for f in SPECS[spec_name].files if f.split == request.split)
    return read_events(
        locate(request.root / spec_name, file, spec_name),
        channels=CHANNELS,
        classes=classes,
        duration=DURATION,
        binning=request.binning or Binning(),
        limit=request.limit,
    )


def _read_shd(request: Request) -> EventSplit:
    return _read("shd", len(SHD_WORDS), request)


def _read_ssc(request: Request) -> EventSplit:
    return _read("ssc", len(SSC_WORDS), request)


def _file(dataset: str, split: str, md5: str | None, zip_md5: str, gz_md5: str | None = None) -> DataFile:
    name = f"{dataset}_{split}.h5"
    packed = () if gz_md5 is None else tuple((f"{server}{name}.gz", gz_md5) for server in _SERVERS)
    return DataFile(
        split, name, md5, f"{_SERVERS[0]}{name}.zip", zip_md5, also=(f"{name}.gz", f"{name}.zip"), mirrors=packed
    )


_CITATION = (
    "Cramer, Stradmann, Schemmel, Zenke: The Heidelberg Spiking Data Sets for the Systematic Evaluation of Spiking "
    "Neural Networks, IEEE Transactions on Neural Networks and Learning Systems 33 (2022)"
)
_NOTES = (
    "Unit 0 is the highest frequency. By default every spike is kept: bins of 4 ms over 1.4 s, with counts. "
    "The papers' preprocessing is the binning `paper`: 250 binary bins of 4 ms, channels reversed, unit 0 and late "
    "spikes left out."
)

SHD = DataSpec(
    name="shd",
    title="Spiking Heidelberg Digits, spoken digits in English and German",
    channels=CHANNELS,
    steps=Binning().steps_for(DURATION),
    class_names=SHD_WORDS,
    labels_per_step=False,
    read=_read_shd,
    licence="CC-BY-4.0",
    citation=_CITATION,
    folder="shd",
    files=(
        _file(
            "shd",
            "train",
            "8e9877c85f29a28dd353ea6a54402667",
            "f3252aeb598ac776c1b526422d90eecb",
            "d47c9825dee33347913e8ce0f2be08b0",
        ),
        _file(
            "shd",
            "test",
            "207ad1295a0ab611e22d1734989c254e",
            "1503a5064faa34311c398fb0a1ed0a6f",
            "3062a80ec0c5719404d5b02e166543b1",
        ),
    ),
    notes=_NOTES + " Twelve speakers, two of them only in the test part.",
    samples={"train": 8156, "test": 2264},
    events=True,
)

SSC = DataSpec(
    name="ssc",
    title="Spiking Speech Commands, 35 spoken words",
    channels=CHANNELS,
    steps=Binning().steps_for(DURATION),
    class_names=SSC_WORDS,
    labels_per_step=False,
    read=_read_ssc,
    licence="CC-BY-4.0",
    citation=_CITATION,
    folder="ssc",
    files=(
        _file("ssc", "train", None, "d102be95e7144fcc0553d1f45ba94170"),
        _file("ssc", "valid", None, "b4eee3516a4a90dd0c71a6ac23a8ae43"),
        _file("ssc", "test", None, "a35ff1e9cffdd02a20eb850c17c37748"),
    ),
    notes=_NOTES + " The names of the classes are taken from the file where it holds them.",
    splits=("train", "valid", "test"),
    samples={"train": 75_466, "valid": 9_981, "test": 20_382},
    events=True,
)

SPECS = {SHD.name: SHD, SSC.name: SSC}
