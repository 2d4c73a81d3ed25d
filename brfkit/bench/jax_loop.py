"""The strongest peer: the same network as a scan of JAX under ``jit``, with Adam of optax.

Needs the extra ``peers``. The input product of all steps is one matrix product before the scan, the surrogate is a
custom derivative, and weights and optimiser state are donated, as a user of JAX who looks for speed would write it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.threads import default_threads
from brfkit.bench.workloads import Workload
from brfkit.errors import BrfkitError


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise BrfkitError(f"{name} is not installed; pip install 'brfkit[peers]'") from None


def require_jax() -> None:
    """Raise a ``BrfkitError`` where JAX or optax are not installed."""
    _import("jax"), _import("optax")


class JaxLoop:
    """One recurrent BRF layer and a leaky-integrator readout.

    Args:
        workload: network, weights, input and labels.
        learning_rate: of Adam.
        clip_norm: bound on the norm of the whole gradient.

    Raises:
        BrfkitError: JAX or optax are not installed, or another network.
    """

    def __init__(self, workload: Workload, learning_rate: float, clip_norm: float) -> None:
        jax, optax = _import("jax"), _import("optax")
        layers = workload.network.layers
        if [layer.neuron for layer in layers] != ["brf", "li"] or any(layer.bias for layer in layers):
            raise BrfkitError("the loop of JAX has one hidden layer of brf and a readout li, without bias")
        self._jax = jax
        hidden, out = layers
        self._constants = hidden.spec.resolve_constants(workload.network.dt, hidden.constants)
        self._names = {
            "w_in": f"{hidden.name}.w_in", "w_rec": f"{hidden.name}.w_rec", "omega": f"{hidden.name}.omega",
            "b_offset": f"{hidden.name}.b_offset", "w_out": f"{out.name}.w_in", "tau": f"{out.name}.tau_mem",
        }  # fmt: skip
        self.threads = default_threads()
        self._loss_on, self._weights = workload.task.loss_on, workload.weights
        self._optimiser = optax.chain(optax.clip_by_global_norm(clip_norm), optax.adam(learning_rate))
        self.use(workload)
        self._forward = jax.jit(self._run)
        self._gradients = jax.jit(jax.value_and_grad(self._loss))
        self._update = jax.jit(self._step, donate_argnums=(0, 1))
        self._advance = jax.jit(self._one_step, donate_argnums=1)
        self.reset()

    @property
    def device(self) -> str:
        """The kind of device that JAX computes on, as it names it."""
        return str(self._jax.default_backend())

    def use(self, workload: Workload) -> None:
        """Take the batch of another workload with the same network."""
        jnp = self._jax.numpy
        self._x, self._labels = jnp.asarray(workload.dense()), jnp.asarray(workload.labels)

    def reset(self) -> None:
        """Start from the workload's weights again."""
        self._parameters = {k: self._jax.numpy.asarray(self._weights[n]) for k, n in self._names.items()}
        self._state = self._optimiser.init(self._parameters)

    def train_step(self) -> float:
        """Forward, loss, backward, clipping, Adam; returns the loss."""
        self._parameters, self._state, loss = self._update(self._parameters, self._state, self._x, self._labels)
        return float(loss)

    def infer(self) -> np.ndarray:
        """Outputs [T, B, O]."""
        return np.asarray(self._forward(self._parameters, self._x).block_until_ready())

    def gradients(self) -> tuple[float, dict[str, np.ndarray]]:
        """The loss and its gradients by the names of the network's weights."""
        loss, found = self._gradients(self._parameters, self._x, self._labels)
        return float(loss), {self._names[k]: np.asarray(v) for k, v in found.items()}

    def stream(self) -> Callable[[NDArray], NDArray]:
        """A function that takes the steps of one sample, [1, I] each, and gives the outputs [1, O]; from state 0 on."""
        state = self._start(self._parameters, 1)

        def step(x: NDArray) -> NDArray:
            nonlocal state
            state, output = self._advance(self._parameters, state, x)
            return np.asarray(output)

        return step

    def _run(self, parameters: Any, x: Any) -> Any:
        """Outputs [T, B, O] for input [T, B, I]."""
        start = self._start(parameters, x.shape[1])
        return self._jax.lax.scan(self._cell(parameters), start, x @ parameters["w_in"].T)[1]

    def _one_step(self, parameters: Any, state: Any, x: Any) -> Any:
        return self._cell(parameters)(state, x @ parameters["w_in"].T)

    def _start(self, parameters: Any, batch: int) -> tuple[Any, ...]:
        """States 0 of the neurons (z, u, v, q) [B, H] and of the readout [B, O], each in memory of its own."""
        units, outputs = len(parameters["w_rec"]), len(parameters["w_out"])
        return tuple(self._jax.numpy.zeros((batch, width)) for width in (units, units, units, units, outputs))

    def _cell(self, parameters: Any) -> Any:
        """The body of the scan: state and input current to the next state and the output."""
        jnp, dt = self._jax.numpy, self._constants["dt"]
        theta, gamma = self._constants["theta"], self._constants["gamma"]
        omega = jnp.abs(parameters["omega"])
        b0 = (-1.0 + jnp.sqrt(1.0 - (dt * omega) ** 2)) / dt - jnp.abs(parameters["b_offset"])
        alpha = jnp.exp(-1.0 / jnp.abs(parameters["tau"]))
        spike = _spike(self._jax)

        def step(state: Any, current: Any) -> Any:
            z, u, v, q, out = state
            total = current + z @ parameters["w_rec"].T
            b = b0 - q
            u_next = u + dt * (b * u - omega * v + total)
            v_next = v + dt * (omega * u + b * v)
            z_next = spike(u_next - theta - q)
            out_next = alpha * out + (1.0 - alpha) * (z_next @ parameters["w_out"].T)
            return (z_next, u_next, v_next, gamma * q + z_next, out_next), out_next

        return step

    def _loss(self, parameters: Any, x: Any, labels: Any) -> Any:
        jnp, outputs = self._jax.numpy, self._run(parameters, x)
        if self._loss_on == "last":
            outputs = outputs[-1]
        elif self._loss_on == "mean":
            outputs = outputs.mean(0)
        else:
            labels = jnp.broadcast_to(labels, outputs.shape[:2])
        likelihood = self._jax.nn.log_softmax(outputs)
        return -jnp.take_along_axis(likelihood, labels[..., None], -1).mean()

    def _step(self, parameters: Any, state: Any, x: Any, labels: Any) -> Any:
        loss, gradients = self._jax.value_and_grad(self._loss)(parameters, x, labels)
        updates, state = self._optimiser.update(gradients, state, parameters)
        return {name: value + updates[name] for name, value in parameters.items()}, state, loss


def _spike(jax: Any) -> Any:
    """Θ(x) with the double Gaussian as its derivative."""
    jnp = jax.numpy

    @jax.custom_jvp
    def spike(x: Any) -> Any:
        return (x > 0).astype(x.dtype)

    @spike.defjvp
    def spike_jvp(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        norm = 0.5 / np.sqrt(2.0 * np.pi)
        slope = (1.15 * norm / 0.5) * jnp.exp(-2.0 * x * x) - (0.3 * norm / 3.0) * jnp.exp(-x * x / 18.0)
        return spike(x), slope * t

    return spike
