"""The speed baseline: the published network as an ordinary PyTorch module under ``torch.jit.script``.

One recurrent layer of BRF, RF or ALIF neurons and a leaky-integrator readout, with the loop over time in Python and
autograd for BPTT, as the training scripts of Higuchi et al. (ICML 2024) run it. Under TorchScript a custom autograd
function is not available, so the surrogate gradient is injected in the forward pass (:func:`spike`).
"""

# No postponed annotations in here: TorchScript wants those of a class as types.

import math
import warnings
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from brfkit.errors import BrfkitError
from brfkit.network import Layer, Network
from brfkit.neurons.brf import BOUND

LossOn = Literal["every", "last", "mean"]
CellState = tuple[Tensor, Tensor, Tensor, Tensor]


def double_gaussian(x: Tensor) -> Tensor:
    """dz/dx = 0.5 [1.15 N(x; 0, 0.5) - 0.3 N(x; 0, 3)]."""
    norm = 0.5 / math.sqrt(2.0 * math.pi)
    return (1.15 * norm / 0.5) * torch.exp(x * x * -2.0) - (0.3 * norm / 3.0) * torch.exp(x * x * (-1.0 / 18.0))


def spike(x: Tensor, surrogate: bool) -> Tensor:
    """Θ(x), whose derivative autograd sees as :func:`double_gaussian` where `surrogate` is set."""
    z = (x > 0.0).to(x.dtype)
    if surrogate:
        # Forward gradient injection: y - y.detach() is 0 in value, and its derivative is the factor of x in y.
        y = double_gaussian(x).detach() * x
        z = y - y.detach() + z.detach()
    return z


class Cell(nn.Module):
    """What the cells share: the joint matrix [W_in, W_rec] and the constants.

    A cell has ``forward(x_t, state, surrogate)`` on the state (z, u, v or a, q), each [B, H]; a neuron without one of
    the last two leaves it as it is. As in the published cells, all that follows from the trained parameters (|ω|, p(ω),
    |b'|, the decays) is computed at every step.
    """

    def __init__(self, layer: Layer, weights: Mapping[str, Tensor], dt: float) -> None:
        super().__init__()
        constants = layer.spec.resolve_constants(dt, layer.constants)
        self.units = layer.units
        self.dt = constants["dt"]
        self.theta = constants["theta"]
        self.gamma = constants.get("gamma", 0.0)
        self.beta = constants.get("beta", 0.0)
        self.weight = nn.Parameter(torch.cat((weights["w_in"], weights["w_rec"]), 1))  # [H, I + H]
        self.bias = nn.Parameter(weights["bias"]) if layer.bias else None
        for parameter in layer.spec.parameters:
            self.register_parameter(parameter.name, nn.Parameter(weights[parameter.name]))

    def current(self, x: Tensor, z: Tensor) -> Tensor:
        return functional.linear(torch.cat((x, z), 1), self.weight, self.bias)


class RF(Cell):
    omega: Tensor
    b_offset: Tensor

    def forward(self, x_t: Tensor, state: CellState, surrogate: bool) -> CellState:
        z, u, v, q = state
        x = self.current(x_t, z)
        omega = torch.abs(self.omega)
        b = -torch.abs(self.b_offset)
        u_next = u + b * u * self.dt - omega * v * self.dt + x * self.dt
        v_next = v + omega * u * self.dt + b * v * self.dt
        return spike(u_next - self.theta, surrogate), u_next, v_next, q


class BRF(Cell):
    omega: Tensor
    b_offset: Tensor

    def forward(self, x_t: Tensor, state: CellState, surrogate: bool) -> CellState:
        z, u, v, q = state
        x = self.current(x_t, z)
        omega = torch.abs(self.omega)
        p = (-1.0 + torch.sqrt(1.0 - torch.square(self.dt * omega))) / self.dt
        b = p - torch.abs(self.b_offset) - q
        u_next = u + b * u * self.dt - omega * v * self.dt + x * self.dt
        v_next = v + omega * u * self.dt + b * v * self.dt
        z_next = spike(u_next - self.theta - q, surrogate)
        return z_next, u_next, v_next, q * self.gamma + z_next


class ALIF(Cell):
    tau_mem: Tensor
    tau_adp: Tensor

    def forward(self, x_t: Tensor, state: CellState, surrogate: bool) -> CellState:
        z, u, a, q = state
        x = self.current(x_t, z)
        alpha = torch.exp(-1.0 / torch.abs(self.tau_mem))
        rho = torch.exp(-1.0 / torch.abs(self.tau_adp))
        a_next = a * rho + z * (1.0 - rho)
        theta = self.theta + a_next * self.beta
        u_new = u * alpha + x * (1.0 - alpha)
        z_next = spike(u_new - theta, surrogate)
        return z_next, u_new - z_next * theta, a_next, q


class Readout(nn.Module):
    """Leaky integrators, one per class."""

    def __init__(self, layer: Layer, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(weights["w_in"])  # [O, H]
        self.bias = nn.Parameter(weights["bias"]) if layer.bias else None
        self.tau_mem = nn.Parameter(weights["tau_mem"])  # [O]

    def forward(self, z: Tensor, u: Tensor) -> Tensor:
        x = functional.linear(z, self.weight, self.bias)
        alpha = torch.exp(-1.0 / torch.abs(self.tau_mem))
        return u * alpha + x * (1.0 - alpha)


CELLS = {"rf": RF, "brf": BRF, "alif": ALIF}


class PlainNetwork(nn.Module):
    """The network of the papers, one time step after the other.

    Args:
        network: one recurrent BRF, RF or ALIF layer, without parts switched off, and an ``li`` readout.
        weights: its weights by name; they set the dtype.

    Raises:
        BrfkitError: any other network, or BRF neurons with δ|ω| beyond the bound that brfkit holds them to and the
            published code does not know.
    """

    def __init__(self, network: Network, weights: Mapping[str, NDArray]) -> None:
        super().__init__()
        network.check(weights)
        hidden, readout = _layers(network)
        if hidden.neuron == "brf" and np.abs(weights[f"{hidden.name}.omega"]).max() * network.dt > BOUND:
            raise BrfkitError(f"the plain loop needs dt |omega| below {BOUND}, where p(omega) ends")
        self.cell = CELLS[hidden.neuron](hidden, _tensors(weights, hidden), network.dt)
        self.readout = Readout(readout, _tensors(weights, readout))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [T, B, O] and the number of hidden spikes (a scalar tensor) for dense input [T, B, I]."""
        surrogate = torch.is_grad_enabled()
        zero = torch.zeros([x.size(1), self.cell.units], dtype=x.dtype, device=x.device)
        state = (zero, zero, zero, zero)
        out = torch.zeros([x.size(1), self.readout.weight.size(0)], dtype=x.dtype, device=x.device)
        num_spikes = torch.zeros([], dtype=x.dtype, device=x.device)
        outputs: list[Tensor] = []
        for x_t in x.unbind(0):
            state = self.cell(x_t, state, surrogate)
            num_spikes += state[0].sum()
            out = self.readout(state[0], out)
            outputs.append(out)
        return torch.stack(outputs), num_spikes.detach()

    @torch.jit.export
    def step(self, x_t: Tensor, state: CellState, out: Tensor) -> tuple[CellState, Tensor]:
        """One time step [B, I] without gradients: the states of cell and readout after it; the latter is the output."""
        after = self.cell(x_t, state, False)
        return after, self.readout(after[0], out)


def script(network: Network, weights: Mapping[str, NDArray]) -> torch.jit.ScriptModule:
    """:class:`PlainNetwork` under ``torch.jit.script``; its first two or three calls profile and optimise."""
    with warnings.catch_warnings():
        # Newer versions of torch call TorchScript deprecated; it is what the published scripts run.
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(PlainNetwork(network, weights))


def loss(outputs: Tensor, y: Tensor, loss_on: LossOn) -> Tensor:
    """NLL of log-softmax, averaged over the batch and, for ``every``, over time.

    Args:
        outputs: [T, B, O].
        y: class per sample [B], or per step [T, B] with ``every``.
        loss_on: ``every`` step, the ``last`` step, or the ``mean`` output over time.
    """
    if loss_on == "last":
        return functional.cross_entropy(outputs[-1], y)
    if loss_on == "mean":
        return functional.cross_entropy(outputs.mean(0), y)
    if loss_on != "every":
        raise ValueError(f"loss_on is every, last or mean, not {loss_on!r}")
    return functional.cross_entropy(outputs.flatten(0, 1), y.expand(outputs.shape[:2]).reshape(-1))


def train_step(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    optimizer: torch.optim.Optimizer,
    loss_on: LossOn,
    clip_norm: float | None = None,
) -> Tensor:
    """Forward, loss, backward, optional clipping of the gradient's norm, optimiser step; returns the loss."""
    optimizer.zero_grad()
    value = loss(model(x)[0], y, loss_on)
    value.backward()
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return value.detach()


def _layers(network: Network) -> tuple[Layer, Layer]:
    if len(network.layers) != 2:
        raise BrfkitError(f"the plain loop has one hidden layer and a readout, not {len(network.layers)} layers")
    hidden, readout = network.layers
    if hidden.neuron not in CELLS or not hidden.recurrent:
        raise BrfkitError(f"the plain loop has a recurrent layer of {', '.join(CELLS)}, not {hidden.neuron}")
    if readout.neuron != "li":
        raise BrfkitError(f"the readout of the plain loop is li, not {readout.neuron}")
    if hidden.spec.resolve_options(hidden.options) != hidden.spec.resolve_options({}):
        raise BrfkitError("the plain loop has no parts to switch off, and one discretisation")
    if hidden.surrogate_name != "double_gaussian":
        raise BrfkitError(f"the surrogate of the plain loop is double_gaussian, not {hidden.surrogate_name}")
    return hidden, readout


def _tensors(weights: Mapping[str, NDArray], layer: Layer) -> dict[str, Tensor]:
    prefix = f"{layer.name}."
    return {n[len(prefix) :]: torch.from_numpy(np.array(w)) for n, w in weights.items() if n.startswith(prefix)}
