"""Everything a backend needs of one neuron, with its options folded in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from brfkit.codegen.adjoint import inline, slope_names, vjp, with_slopes
from brfkit.codegen.parser import Fixed, parse
from brfkit.codegen.program import Builder, Program
from brfkit.codegen.python_printer import NUMPY, build
from brfkit.errors import BrfkitError
from brfkit.neurons import Neuron, OptionValue, Surrogate, Trainable, get_neuron, get_surrogate


@dataclass(frozen=True, eq=False)
class Model:
    """A neuron's programs. ``build_model`` makes each only once, so a model is compared and hashed by identity.

    Attributes:
        neuron: the specification.
        parameters: names of the trained parameters, constants that are trained among them.
        derive: inputs parameters and constants, outputs the derived values.
        step: inputs ``x``, states, derived values and constants, outputs output and next states.
        surrogate: derivative of the spike, one input; None without spikes.
    """

    neuron: Neuron
    parameters: tuple[str, ...]
    derive: Program
    step: Program
    surrogate: Program | None

    @property
    def states(self) -> tuple[str, ...]:
        return self.neuron.states

    @property
    def constants(self) -> tuple[str, ...]:
        """Names of δ and the constants that are not trained, in the order in which kernels take them."""
        return ("dt", *(name for name in self.neuron.constants if name not in self.parameters))

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
def _build(neuron: Neuron, options: tuple[tuple[str, OptionValue], ...], surrogate: Surrogate | None) -> Model:
    chosen = dict(options)
    fixed: dict[str, Fixed] = {option.name: float(chosen[option.name]) for option in neuron.options}
    discretisation = neuron.discretisation(chosen)
    fixed |= discretisation.functions if discretisation is not None else {}
    slope = _slope(surrogate) if surrogate is not None else None
    step = parse(neuron.step, fixed)
    if len(step.outputs) != 1 + len(neuron.states):
        raise BrfkitError(f"neuron {neuron.name}: step must return its output and one value per state")
    parameters = tuple(p.name for p in neuron.trained(chosen))
    constants = {"dt", *neuron.constants}
    derive = parse(neuron.derive, fixed)
    _check_inputs(neuron, derive, {p.name for p in neuron.parameters} | constants)
    _check_inputs(neuron, step, {"x", *neuron.states, *derive.output_names} | constants)
    trained = [one for one in neuron.trainable if one.name in parameters]
    derive, step = _without_unread(_with_trained(derive, trained), step)
    names = ("out", *(f"{state}_next" for state in neuron.states))
    return Model(neuron, parameters, derive, replace(step, output_names=names), slope)


def _slope(surrogate: Surrogate) -> Program:
    """The derivative of a surrogate as a program of one input."""
    if surrogate.base is None:
        return parse(surrogate.derivative)
    inner = _slope(surrogate.base)
    builder = Builder("s", taken=inner.inputs)
    (value,) = inline(builder, inner, {inner.inputs[0]: builder.emit("mul", inner.inputs[0], surrogate.slope)})
    result = builder.emit("mul", value, surrogate.slope)
    return Program(inner.name, inner.inputs, tuple(builder.statements), (result,), inner.output_names)


def _with_trained(derive: Program, trained: Sequence[Trainable]) -> Program:
    """``derive`` with every trained constant as a further input and, constrained to its valid range, output."""
    if not trained:
        return derive
    names = tuple(one.name for one in trained)
    builder = Builder("c", taken={*derive.inputs, *names, *(s.target for s in derive.statements)})
    builder.statements.extend(derive.statements)
    constrained = [parse(one.constrain) for one in trained]
    values = [inline(builder, h, {h.inputs[0]: name})[0] for h, name in zip(constrained, names, strict=True)]
    return Program(
        derive.name,
        (*derive.inputs, *(name for name in names if name not in derive.inputs)),
        tuple(builder.statements),
        (*derive.outputs, *values),
        (*derive.output_names, *names),
        derive.notes,
    )


def _without_unread(derive: Program, step: Program) -> tuple[Program, Program]:
    """Both without the derived values that the step does not read, such as those of another discretisation."""
    unread = set(derive.output_names) - step.reads()
    pairs = zip(derive.output_names, derive.outputs, strict=True)
    kept = {name: output for name, output in pairs if name not in unread}
    derive = replace(derive, outputs=tuple(kept.values()), output_names=tuple(kept)).without_dead_code()
    return derive, replace(step, inputs=tuple(name for name in step.inputs if name not in unread))


def _check_inputs(neuron: Neuron, program: Program, known: set[str]) -> None:
    """Arguments are matched by name, so one that nothing provides is a mistake in the specification."""
    for name in program.inputs:
        if name not in known:
            have = ", ".join(sorted(known))
            raise BrfkitError(f"neuron {neuron.name}: {program.name} takes {name!r}, which is none of {have}")


def build_model(name: str, options: Mapping[str, OptionValue] | None = None, surrogate: str | None = None) -> Model:
    """The programs of a neuron with these options and surrogate (None: the neuron's own)."""
    neuron = get_neuron(name)
    resolved = tuple(sorted(neuron.resolve_options(options or {}).items()))
    slope = surrogate or neuron.surrogate
    # By the object, not by the name: under a name another surrogate may stand later.
    return _build(neuron, resolved, None if slope is None else get_surrogate(slope))
