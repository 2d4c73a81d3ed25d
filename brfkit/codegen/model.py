"""Everything a backend needs of one neuron, with its options folded in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from brfkit.codegen.adjoint import slope_names, vjp, with_slopes
from brfkit.codegen.program import Program, parse
from brfkit.codegen.python_printer import NUMPY, build
from brfkit.errors import BrfkitError
from brfkit.neurons import Neuron, get_neuron, get_surrogate


@dataclass(frozen=True, eq=False)
class Model:
    """A neuron's programs. ``build_model`` makes each only once, so a model is compared and hashed by identity.

    Attributes:
        neuron: the specification.
        derive: inputs parameters and constants, outputs the derived values.
        step: inputs ``x``, states, derived values and constants, outputs output and next states.
        surrogate: derivative of the spike, one input; None without spikes.
    """

    neuron: Neuron
    derive: Program
    step: Program
    surrogate: Program | None

    @property
    def states(self) -> tuple[str, ...]:
        return self.neuron.states

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.neuron.parameters)

    @property
    def constants(self) -> tuple[str, ...]:
        """Names of δ and the neuron's constants, in the order in which kernels take them."""
        return ("dt", *self.neuron.constants)

    @property
    def derived(self) -> tuple[str, ...]:
        """Names of the per-neuron values that ``derive`` makes and ``step`` reads."""
        return self.derive.output_names

    @cached_property
    def step_vjp(self) -> Program:
        """Cotangents of ``x``, the states and the derived values from those of the step's outputs."""
        return vjp(self.step, ("x", *self.states, *self.derived), self.surrogate)

    @cached_property
    def step_with_slopes(self) -> Program:
        """``step`` with the slopes of its spikes as further outputs (``slope0``, …)."""
        return with_slopes(self.step, self.surrogate)

    @cached_property
    def step_vjp_of_slopes(self) -> Program:
        """``step_vjp`` with the slopes as inputs."""
        return vjp(self.step, ("x", *self.states, *self.derived), self.surrogate, slopes_given=True)

    @property
    def slopes(self) -> tuple[str, ...]:
        return slope_names(self.step)

    @cached_property
    def derive_numpy(self) -> Callable[..., tuple[Any, ...]]:
        """``derive`` as a function of arrays."""
        return build(self.derive, "numpy", NUMPY)

    @cached_property
    def derive_vjp_numpy(self) -> Callable[..., tuple[Any, ...]]:
        """``derive_vjp`` as a function of arrays."""
        return build(self.derive_vjp, "numpy", NUMPY)

    @cached_property
    def derive_vjp(self) -> Program:
        """Cotangents of the parameters from those of the derived values."""
        return vjp(self.derive, self.parameters)


@lru_cache(maxsize=256)
def _build(neuron: Neuron, options: tuple[tuple[str, bool], ...], surrogate: str | None) -> Model:
    fixed = {name: float(value) for name, value in options}
    slope = parse(get_surrogate(surrogate).derivative) if surrogate is not None else None
    step = parse(neuron.step, fixed)
    if len(step.outputs) != 1 + len(neuron.states):
        raise BrfkitError(f"neuron {neuron.name}: step must return its output and one value per state")
    derive = parse(neuron.derive, fixed)
    constants = {"dt", *neuron.constants}
    _check_inputs(neuron, derive, {p.name for p in neuron.parameters} | constants)
    _check_inputs(neuron, step, {"x", *neuron.states, *derive.output_names} | constants)
    names = ("out", *(f"{state}_next" for state in neuron.states))
    return Model(neuron, derive, replace(step, output_names=names), slope)


def _check_inputs(neuron: Neuron, program: Program, known: set[str]) -> None:
    """Arguments are matched by name, so one that nothing provides is a mistake in the specification."""
    for name in program.inputs:
        if name not in known:
            have = ", ".join(sorted(known))
            raise BrfkitError(f"neuron {neuron.name}: {program.name} takes {name!r}, which is none of {have}")


def build_model(name: str, options: Mapping[str, bool] | None = None, surrogate: str | None = None) -> Model:
    """The programs of a neuron with these options and surrogate (None: the neuron's own)."""
    neuron = get_neuron(name)
    resolved = tuple(sorted(neuron.resolve_options(options or {}).items()))
    return _build(neuron, resolved, surrogate or neuron.surrogate)
