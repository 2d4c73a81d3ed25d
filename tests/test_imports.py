"""The import graph of the package: arrows go down the layers only, there are no cycles, folders stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import brfkit

PACKAGE = Path(brfkit.__file__).parent

# From top to bottom: a module may import from its own part and from parts further down. Parts in one line stand beside
# each other and do not know each other.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("__main__", "__init__"),
    ("cli",),
    ("doctor", "bench"),
    ("reports", "experiment"),
    ("plotting",),
    ("analysis", "sweeps"),
    ("training",),
    ("setups",),
    ("trained",),
    ("runs", "torch_modules", "baseline"),
    ("checkpoints",),
    ("nn", "evaluation", "cost"),
    ("simulation", "task", "spectrum"),
    ("data",),
    ("backends",),
    ("network",),
    ("codegen",),
    ("neurons", "events"),
    ("io",),
    ("memory",),
    ("errors",),
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
FILES_PER_FOLDER = 15


def part_of(module: str) -> str:
    """``brfkit.data.base`` → ``data``."""
    names = module.split(".")
    return names[1] if len(names) > 1 else "__init__"


@lru_cache(maxsize=1)
def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        names = ("brfkit", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(names[:-1] if names[-1] == "__init__" and len(names) > 2 else names)] = path
    return found


def imports(module: str) -> Iterator[tuple[str, int, bool]]:
    """What a module imports of the package: module, line, whether at the top of the file (also under TYPE_CHECKING)."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    inner = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "brfkit":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in modules() else node.module, node.lineno, id(node) not in inner
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "brfkit":
                    yield alias.name, node.lineno, id(node) not in inner


def test_every_part_has_a_level() -> None:
    assert {part_of(name) for name in modules()} == set(LEVEL)


def test_no_import_goes_up() -> None:
    up = [
        f"{modules()[module].relative_to(PACKAGE)}:{line} imports {target}"
        for module in modules()
        for target, line, _ in imports(module)
        if target != "brfkit"  # its version and the names that it hands on when they are asked for
        and part_of(module) != part_of(target)
        and LEVEL[part_of(module)] >= LEVEL[part_of(target)]
    ]
    assert not up, "\n".join(up)


def test_no_cycle_of_modules() -> None:
    """Cycles inside one part, over imports at the top of files."""
    graph = {m: {t for t, _, top in imports(m) if top and t in modules() and t != m} for m in modules()}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join([*path[path.index(module) :], module])
        if module in done:
            return
        for target in graph[module]:
            visit(target, (*path, module))
        done.add(module)

    for module in graph:
        visit(module, ())


def test_folders_stay_small() -> None:
    counts = {folder: len(list(folder.glob("*.py"))) for folder in [PACKAGE, *PACKAGE.rglob("*")] if folder.is_dir()}
    large = {str(f.relative_to(PACKAGE)): n for f, n in counts.items() if n > FILES_PER_FOLDER + 1}  # and __init__.py
    assert large.keys() <= {"cli/commands"}  # one file for each command
