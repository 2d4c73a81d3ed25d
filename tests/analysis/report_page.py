"""A small run with a report about it, and a reader of its page."""

from __future__ import annotations

from xml.etree import ElementTree

import brfkit

QUICK = {"samples": 6, "repeats": 2, "perturbations": ("spike-deletion", "bit-precision")}
SMALL = {
    "data": {"limit_train": 60, "limit_test": 30},
    "network": {"hidden": [8]},
    "training": {"epochs": 2, "batch_size": 20},
}


def tiny_run(folder):
    """A run that takes a second, with a surface in its folder."""
    from brfkit.analysis.landscape.run import landscape

    brfkit.train("tones", run_dir=folder, settings=SMALL, threads=1)
    landscape(folder, points=5, samples=6, out=folder / "surface.h5", threads=1)
    return folder


def parse(page):
    """The page as XML, which every element that is not closed would break."""
    assert page.startswith("<!DOCTYPE html>")
    return ElementTree.fromstring(page.partition("\n")[2])


def words(element):
    return " ".join("".join(element.itertext()).split())


def table(tree, start):
    for found in tree.iter("table"):
        if words(found.find("caption")).startswith(start):
            return [[words(cell) for cell in row] for row in found.find("tbody")]
    raise AssertionError(f"there is no table {start!r}")
