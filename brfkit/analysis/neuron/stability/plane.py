"""The ω–b plane of a resonator: spectral radius of a step, and where it is 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.neuron.frequency.linear import golden_maximum, spectral_radius, zero_crossing
from brfkit.codegen.model import build_model
from brfkit.errors import BrfkitError
from brfkit.neurons import NEURONS, Discretisation, OptionValue, get_neuron
from brfkit.simulation.reduce import Population

OMEGA, B_OFFSET = "omega", "b_offset"
# The damping is searched from -SEARCH/δ to SEARCH/δ; beyond 2/δ an Euler step is unstable for any ω.
SEARCH, SAMPLES = 2.5, 501


@dataclass(frozen=True)
class Plane:
    """Neurons of one model over ω and their damping b, the value that b' enters.

    Attributes:
        neuron: name of the model.
        dt: time step δ.
        options, constants: as for :func:`brfkit.simulate`.
        dtype: of simulations.
    """

    neuron: str
    dt: float = 0.01
    options: Mapping[str, OptionValue] | None = None
    constants: Mapping[str, float] | None = None
    dtype: str = "float64"

    def check(self) -> None:
        """Refuse a neuron without ω and b', and settings that it does not have."""
        if self.dtype not in ("float32", "float64"):
            raise BrfkitError(f"dtype must be float32 or float64, not {self.dtype!r}")
        model = build_model(self.neuron, self.options)
        model.neuron.resolve_constants(self.dt, self.constants or {})
        _ = self.damping

    @cached_property
    def damping(self) -> str:
        """Name of the derived value that b' enters, such as BRF's ``b0``: b at q = 0.

        Raises:
            BrfkitError: the model has no ω and b', or b' enters several values.
        """
        program = build_model(self.neuron, self.options).derive
        touched = {B_OFFSET}
        for statement in program.statements:
            if touched & set(statement.args):
                touched.add(statement.target)
        found = [n for n, out in zip(program.output_names, program.outputs, strict=True) if out in touched]
        if not {OMEGA, B_OFFSET} <= set(program.inputs) or len(found) != 1:
            resonators = [n.name for n in NEURONS.values() if {OMEGA, B_OFFSET} <= {p.name for p in n.parameters}]
            raise BrfkitError(f"{self.neuron} has no ω and b, so no ω–b plane; {', '.join(resonators)} have one")
        return found[0]

    @property
    def balanced(self) -> bool:
        """Whether b at b' = 0 is the neuron's own formula of the upper boundary: the divergence boundary of BRF."""
        options = get_neuron(self.neuron).resolve_options(self.options or {})
        return bool(options.get("divergence_boundary", False))

    @property
    def discretisation(self) -> Discretisation | None:
        return get_neuron(self.neuron).discretisation(self.options or {})

    @property
    def limit(self) -> float:
        """δω from which on no b is stable."""
        return 1.0 if self.discretisation is None else self.discretisation.limit

    @property
    def largest_omega(self) -> float:
        """Up to which ω means itself; infinite where the neuron holds none."""
        return get_neuron(self.neuron).largest_omega(self.options or {}, self.dt)

    def population(self, omega: NDArray[np.float64], b: NDArray[np.float64]) -> Population:
        """Neurons with these ω and b, (N,) each."""
        parameters = {OMEGA: omega, B_OFFSET: np.zeros_like(omega)}
        derived = {self.damping: b}
        return Population(self.neuron, parameters, self.dt, self.options, self.constants, derived, self.dtype)

    def radius(self, omega: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        """Spectral radius of a step, of the states that a current reaches; any shape that broadcasts."""
        w, damping = np.broadcast_arrays(omega, b)
        return spectral_radius(self.population(w.ravel(), damping.ravel()).linear).reshape(w.shape)

    def own_damping(self, omega: NDArray[np.float64], b_offset: NDArray[np.float64]) -> NDArray[np.float64]:
        """The damping b that a neuron with these parameters has, (N,); at b' = 0 that of BRF is p(ω)."""
        parameters = {OMEGA: omega, B_OFFSET: b_offset}
        values = Population(self.neuron, parameters, self.dt, self.options, self.constants).values
        return np.asarray(values[self.damping], np.float64)

    @property
    def _searched(self) -> NDArray[np.float64]:
        return np.linspace(-SEARCH, SEARCH, SAMPLES) / self.dt

    def _steadiest(self, omega: NDArray[np.float64]) -> NDArray[np.float64]:
        """The b of the least spectral radius for every ω, (K,)."""
        samples = self._searched
        sampled = self.radius(omega[:, None], samples[None])  # [K, SAMPLES]
        best = sampled.argmin(1).clip(1, SAMPLES - 2)
        return golden_maximum(lambda b: -self.radius(omega, b), samples[best - 1], samples[best + 1])

    def tip(self, inside: float, outside: float) -> float:
        """The ω between `inside`, which has a stable b, and `outside`, which has none, where they end; to 12 digits."""
        while outside - inside > 1e-12 * outside:
            between = np.linspace(inside, outside, 12)[1:-1]
            stable = self.radius(between, self._steadiest(between)) < 1.0
            ends = np.concatenate([[inside], between, [outside]])
            first = int(np.argmin(np.append(stable, False)))
            inside, outside = float(ends[first]), float(ends[first + 1])
        return inside

    def boundary(self, omega: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The lower and the upper b at which the spectral radius is 1, for every ω: (K,) each, NaN where no b is
        stable; lower is NaN, too, where every b below the upper is, down to the end of the search.

        The radius is least at one b for each ω; from there bisection goes to both sides.
        """
        samples = self._searched
        least = self._steadiest(omega)
        ends = np.broadcast_to(samples[[0, -1]][:, None], (2, len(omega)))
        lower, upper = (zero_crossing(lambda b: self.radius(omega, b) - 1.0, least, end) for end in ends)
        none = ~(self.radius(omega, least) < 1.0)
        endless = self.radius(omega, ends[0]) < 1.0
        return np.where(none | endless, np.nan, lower), np.where(none, np.nan, upper)
