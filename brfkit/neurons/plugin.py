"""Neurons from outside the package: a custom file, or an installed package's entry point ``brfkit.neurons``.

A file is executed only where the user names it (``--neuron FILE``), or allows the source that a checkpoint carries
(``trust=True``). What was registered this way is remembered with its source, so that checkpoints can carry it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import linecache
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from brfkit.errors import BrfkitError
from brfkit.neurons.spec import Neuron, nearest

GROUP = "brfkit.neurons"
_LARGEST = 1 << 20  # bytes of a source file


@dataclass(frozen=True)
class NeuronSource:
    """Where a neuron that is not brfkit's own comes from.

    Attributes:
        text: of the file, as it was executed.
        origin: path of the file, or what else it came from; for messages.
    """

    text: str
    origin: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


SOURCES: dict[str, NeuronSource] = {}
"""Source of every neuron that came from a file, by its registered name."""


def is_neuron_file(text: str) -> bool:
    """Whether the name of a neuron means a file: ``my.py`` or ``my.py:NAME``."""
    return _split(text)[0].endswith(".py")


def _split(text: str) -> tuple[str, str | None]:
    path, colon, name = text.rpartition(":")
    return (path, name) if colon and path.endswith(".py") else (text, None)


def load_neuron_file(text: str, registry: dict[str, Neuron]) -> str:
    """Execute a user's file, register its neurons, and return the name of the one that is meant.

    Args:
        text: ``path/to/file.py`` or ``path/to/file.py:NAME``; NAME is the name of a neuron, or of the variable that
            holds it.
        registry: to which the neurons are added.

    Raises:
        BrfkitError: the file cannot be read or executed, holds no neuron, or several and no NAME; a neuron has the
            name of one of brfkit's own.
    """
    path, wanted = _split(text)
    source = NeuronSource(_read(Path(path).expanduser(), path), str(path))
    if source in SOURCES.values():  # executed before, and not changed since
        names = [name for name, known in SOURCES.items() if known == source]
        if wanted in names or (wanted is None and len(names) == 1):
            return wanted or names[0]
    return execute(source, registry, wanted)


def execute(source: NeuronSource, registry: dict[str, Neuron], wanted: str | None = None) -> str:
    """Run the text of a neuron file and register what it defines; see :func:`load_neuron_file`."""
    found = _neurons_of(source)
    if not found:
        raise BrfkitError(f"{source.origin} holds no neuron; it must define an object of brfkit.neurons.Neuron")
    names = {neuron.name for neuron in found.values()}
    for name in names:
        if (name in registry and name not in SOURCES) or name == "lstm":
            raise BrfkitError(f"{source.origin}: there is a neuron {name!r} already; give this one another name")
    if wanted is not None and wanted not in found and wanted not in names:
        raise BrfkitError(f"{source.origin} holds no neuron {wanted!r}; {nearest(wanted, sorted(names))}")
    if wanted is None and len(names) > 1:
        raise BrfkitError(
            f"{source.origin} holds {len(names)} neurons ({', '.join(sorted(names))}); "
            f"choose one with {source.origin}:NAME"
        )
    for neuron in found.values():
        registry[neuron.name] = neuron
        SOURCES[neuron.name] = source
    if wanted is None:
        return next(iter(names))
    return found[wanted].name if wanted in found else wanted


def _read(path: Path, shown: str) -> str:
    try:
        if not path.is_file():
            raise BrfkitError(f"{shown} is not a file; --neuron takes a name or a Python file with a neuron")
        if path.stat().st_size > _LARGEST:
            raise BrfkitError(f"{shown} is larger than {_LARGEST} bytes and no neuron file")
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BrfkitError(f"{shown} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _neurons_of(source: NeuronSource) -> dict[str, Neuron]:
    """Neurons of the file by variable; those that it imports from brfkit are not its own."""
    name = f"brfkit_neuron_{source.sha256[:16]}"
    file = f"<{name}>" if not Path(source.origin).is_file() else str(Path(source.origin).resolve())
    module = types.ModuleType(name)
    module.__file__ = file
    # The parser reads the functions' text again; it is that which was executed, whatever the file holds by then.
    linecache.cache[file] = (len(source.text), None, source.text.splitlines(keepends=True), file)
    sys.modules[name] = module
    try:
        exec(compile(source.text, file, "exec"), module.__dict__)
    except BrfkitError as error:
        raise BrfkitError(f"{source.origin}: {error}") from None
    except Exception as error:
        line = _line_of(error, file)
        raise BrfkitError(f"{source.origin}{line}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    own = {n: v for n, v in vars(module).items() if isinstance(v, Neuron)}
    return {n: v for n, v in own.items() if getattr(v.step, "__module__", name) == name}


def _line_of(error: Exception, file: str) -> str:
    if isinstance(error, SyntaxError) and error.lineno:
        return f", line {error.lineno}"
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f", line {line}" if line else ""


def from_entry_points(name: str, registry: dict[str, Neuron]) -> bool:
    """Register the neuron of an installed package, if one offers it under this name; whether it did.

    Raises:
        BrfkitError: the package offers something that is no neuron, or cannot be imported.
    """
    for entry in importlib.metadata.entry_points(group=GROUP):
        if entry.name != name:
            continue
        try:
            neuron = entry.load()
        except Exception as error:
            raise BrfkitError(f"neuron {name} of {entry.value} cannot be imported: {error}") from error
        if not isinstance(neuron, Neuron) or neuron.name != name:
            raise BrfkitError(f"{entry.value} is not the neuron {name!r} that it is announced as")
        registry[name] = neuron
        return True
    return False


def stored_sources(names: Mapping[str, object] | set[str]) -> dict[str, dict[str, str]]:
    """What a checkpoint keeps of these neurons' sources: text and hash of those that came from files."""
    return {
        name: {"source": SOURCES[name].text, "sha256": SOURCES[name].sha256}
        for name in sorted(names)
        if name in SOURCES
    }


def check_stored(sources: Mapping[str, Mapping[str, str]], registry: dict[str, Neuron], trust: bool = False) -> None:
    """See that the neurons a checkpoint was made with are registered with the same source.

    Args:
        sources: as :func:`stored_sources` made them.
        registry: of all neurons.
        trust: execute the text that the checkpoint carries where its neuron is not registered.

    Raises:
        BrfkitError: a neuron is missing, or registered with another source.
    """
    for name, stored in sources.items():
        kept = NeuronSource(str(stored.get("source", "")), f"the source of neuron {name!r} in the checkpoint")
        here = SOURCES.get(name)
        if here is not None and here.sha256 == kept.sha256:
            continue
        if here is None and name in registry:
            continue  # registered from Python: the user's own doing
        if trust:
            execute(kept, registry)
            continue
        if here is None:
            raise BrfkitError(
                f"this network is made of neuron {name!r} from a user's file (sha256 {kept.sha256[:12]}…), which "
                "is not executed unasked; name that file with --neuron FILE.py, or pass trust=True in Python"
            )
        raise BrfkitError(
            f"neuron {name!r} of this network has another source (sha256 {kept.sha256[:12]}…) than "
            f"{here.origin} (sha256 {here.sha256[:12]}…)"
        )


TEMPLATE = '''"""A custom neuron.

    brfkit neurons {file} --check     tests it
    brfkit train --neuron {file}      trains with it
"""

from brfkit.neurons import Neuron, Option, Parameter, Uniform
from brfkit.neurons.ops import spike


# Once per sequence: from trained parameters and constants to what a time step needs.
# Arguments are matched by name; dt is the time step.
def derive(omega, b_offset, dt):
    w = abs(omega)
    b = -abs(b_offset)
    return w, b


# Once per time step: x is the input current. Straight-line code with + - * / **2 abs sqrt exp sin cos minimum maximum
# and spike; returns the spike and the next states in the order of `states`. An option is a number, 1.0 or 0.0.
def step(x, u, v, q, w, b, dt, theta, gamma, refractory):
    u_next = u + dt * (b * u - w * v + x)
    v_next = v + dt * (w * u + b * v)
    z = spike(u_next - theta - refractory * q)
    q_next = gamma * q + z
    return z, u_next, v_next, q_next


NEURON = Neuron(
    name="{name}",
    title="resonator with a refractory threshold",
    doc="One line about it.",
    source="Who described it, where, which equations",
    states=("u", "v", "q"),
    parameters=(
        Parameter("omega", "ω", "rad per unit time", 10.0, Uniform(5.0, 10.0), "angular frequency"),
        Parameter("b_offset", "b'", "per unit time", 1.0, Uniform(0.1, 1.0), "damping"),
    ),
    derive=derive,
    step=step,
    constants={{"theta": 1.0, "gamma": 0.9}},
    options=(Option("refractory", "q raises the threshold"),),
    equations=(
        "u_t = u_{{t-1}} + δ (-|b'| u_{{t-1}} - ω v_{{t-1}} + I_t)",
        "v_t = v_{{t-1}} + δ (ω u_{{t-1}} - |b'| v_{{t-1}})",
        "z_t = Θ(u_t - θ - q_{{t-1}}),   q_t = γ q_{{t-1}} + z_t",
    ),
)
'''


def template(path: Path) -> str:
    """A commented neuron file to start from, named after its path."""
    name = "".join(c if c.isalnum() else "-" for c in path.stem.lower()).strip("-") or "mine"
    return TEMPLATE.format(file=path.name, name=name)
