"""The documentation cannot drift: examples run, the reference is the commands' own help, links lead somewhere."""

import re
from pathlib import Path

import pytest

from brfkit.cli import COMMANDS
from brfkit.cli.reference import reference

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
# Pages whose examples are run by other tests, or show the inside of a file.
SKIP = {"data.md"}
EXAMPLES = [
    (page.name, index, code)
    for page in PAGES
    if page.name not in SKIP
    for index, code in enumerate(FENCE.findall(page.read_text(encoding="utf-8")))
]


@pytest.mark.parametrize(("page", "index", "code"), EXAMPLES, ids=[f"{p}-{i}" for p, i, _ in EXAMPLES])
def test_example_runs(page, index, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "example.py"  # neurons are parsed from their source, so the example has to be a file
    file.write_text(code, encoding="utf-8")
    from brfkit.neurons import NEURONS

    before = dict(NEURONS)
    try:
        exec(compile(code, str(file), "exec"), {"__name__": "example"})
    finally:
        NEURONS.clear()
        NEURONS.update(before)


def test_there_are_examples():
    assert len(EXAMPLES) >= 4


def test_command_line_reference_is_up_to_date():
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference(), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_pictures_exist(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} points to {target}"


def test_readme_names_every_command():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"brfkit {command}" in text, command
