"""The documentation agrees with the code: examples run, the reference is the commands' help, links and names exist."""

import importlib
import importlib.util
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


def _anchors(page):
    """Anchors of the headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = [heading.lower() for heading in re.findall(r"^#+ (.*)", text, re.M)]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_pictures_exist(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file = page.parent / target if target else page
        assert file.exists(), f"{page.name} points to {target}"
        if anchor:
            assert anchor in _anchors(file), f"{page.name} points to {target}#{anchor}"


# Dated notes and decisions describe the code of their time.
CURRENT = [page for page in PAGES if page.parent.name not in ("notes", "decisions") and page.name != "CHANGELOG.md"]


def _resolves(name):
    """Whether a dotted name is a module of brfkit or an attribute of one."""
    found, rest = importlib.import_module("brfkit"), name.split(".")[1:]
    for part in rest:
        if hasattr(found, part):
            found = getattr(found, part)
        elif hasattr(found, "__path__") and importlib.util.find_spec(f"{found.__name__}.{part}"):
            found = importlib.import_module(f"{found.__name__}.{part}")
        else:
            return False
    return True


@pytest.mark.parametrize("page", CURRENT, ids=lambda p: p.name)
def test_named_files_and_modules_exist(page):
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"(?<![\w/.-])(\w+(?:/\w+)+\.(?:py|cu|cuh|toml))\b", text):  # from the root, or in brfkit/
        if path.startswith("path/to/"):
            continue
        assert (ROOT / path).exists() or (ROOT / "brfkit" / path).exists(), f"{page.name} names {path}"
    for name in re.findall(r"(?<![\w./-])brfkit(?:\.[A-Za-z_]\w*)+", text):
        assert _resolves(name), f"{page.name} names {name}"


def test_architecture_is_that_of_the_package():
    """Every file that the page names exists, every folder of the package is named."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "brfkit"
    names = {path.name for path in [*package.rglob("*.py"), *package.rglob("*.cu"), *ROOT.glob("tests/**/*.py")]}
    for name in re.findall(r"(?<![\w/.<-])(\w+\.(?:py|cu))\b", text):
        assert name in names, name
    layout = text[text.index("## Layout") : text.index("## The numba backend")]
    for folder in package.glob("*/"):
        if (folder / "__init__.py").exists():
            assert f"{folder.name}/" in layout, folder.name


def test_table_of_contents_lists_every_page():
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in ROOT.glob("docs/*.md"):
        assert page.name == "index.md" or f"]({page.name})" in text, page.name


def test_readme_names_every_command():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"brfkit {command}" in text, command
