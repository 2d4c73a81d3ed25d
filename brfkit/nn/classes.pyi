# ruff: noqa: E501
"""Written by :func:`brfkit.nn.generate.stub_text` from the specifications of the neurons."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch

from brfkit.neurons import OptionValue
from brfkit.nn.initial import InitLike
from brfkit.nn.layers import NeuronLayer

class BRF(NeuronLayer):
    """Balanced resonate-and-fire: Higuchi, Kairat, Bohté, Otte, ICML 2024 (arXiv:2402.14603), eq. 5-10.

    RF with divergence boundary p(ω), smooth reset and refractory threshold; δ|ω| is bounded at 0.9999 (symplectic: 1.9998, exact: not).

    ::

            b_t = p(ω) - |b'| - q_{t-1},   p(ω) = (-1 + √(1 - (δω)²)) / δ
            u_t = u_{t-1} + δ (b_t u_{t-1} - ω v_{t-1} + I_t)
            v_t = v_{t-1} + δ (ω u_{t-1} + b_t v_{t-1})
            z_t = Θ(u_t - θ - q_{t-1})
            q_t = γ q_{t-1} + z_t

    Arguments as :class:`NeuronLayer`, and:

        refractory: q raises the threshold (RP).
        smooth_reset: q raises the damping (SR).
        divergence_boundary: p(ω) keeps the discrete oscillator from diverging (DB).
        discretisation: euler: explicit Euler, stable for b below p(ω).
        discretisation: symplectic: semi-implicit Euler, stable for b below 0 and δω below 2 + δb.
        discretisation: exact: exponential: exact for a current held over the step, stable for b below 0.
        theta: 1.
        gamma: 0.9.

    Trained, one per neuron:

        omega: angular frequency; enters as |ω| (rad / time), from U(5, 10).
        b_offset: damping offset; enters as |b'| (1 / time), from U(0.1, 1).
    """

    def __init__(
        self,
        in_features: int,
        units: int,
        *,
        recurrent: bool | None = None,
        bias: bool = False,
        num_layers: int = 1,
        bidirectional: bool = False,
        dt: float = 0.01,
        batch_first: bool = False,
        return_state: bool = True,
        return_states: bool = False,
        threshold: float | None = None,
        trainable: Sequence[str] = (),
        surrogate: str | None = None,
        options: Mapping[str, OptionValue] | None = None,
        constants: Mapping[str, float] | None = None,
        init: Mapping[str, InitLike] | str | None = None,
        backend: str = "auto",
        gradient_precision: str = "float32",
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
        refractory: bool = True,
        smooth_reset: bool = True,
        divergence_boundary: bool = True,
        discretisation: Literal["euler", "symplectic", "exact"] = "euler",
        theta: float = 1.0,
        gamma: float = 0.9,
    ) -> None: ...

class RF(NeuronLayer):
    """Resonate-and-fire: Izhikevich 2001; Higuchi et al., ICML 2024, eq. 1-3.

    Damped complex oscillator; spikes on the real part, no reset.

    ::

            u_t = u_{t-1} + δ (b u_{t-1} - ω v_{t-1} + I_t),   b = -|b'|
            v_t = v_{t-1} + δ (ω u_{t-1} + b v_{t-1})
            z_t = Θ(u_t - θ)

    Arguments as :class:`NeuronLayer`, and:

        discretisation: euler: explicit Euler, stable for b below p(ω).
        discretisation: symplectic: semi-implicit Euler, stable for b below 0 and δω below 2 + δb.
        discretisation: exact: exponential: exact for a current held over the step, stable for b below 0.
        theta: 1.

    Trained, one per neuron:

        omega: angular frequency; enters as |ω| (rad / time), from U(5, 10).
        b_offset: damping offset; enters as |b'| (1 / time), from U(0.1, 1).
    """

    def __init__(
        self,
        in_features: int,
        units: int,
        *,
        recurrent: bool | None = None,
        bias: bool = False,
        num_layers: int = 1,
        bidirectional: bool = False,
        dt: float = 0.01,
        batch_first: bool = False,
        return_state: bool = True,
        return_states: bool = False,
        threshold: float | None = None,
        trainable: Sequence[str] = (),
        surrogate: str | None = None,
        options: Mapping[str, OptionValue] | None = None,
        constants: Mapping[str, float] | None = None,
        init: Mapping[str, InitLike] | str | None = None,
        backend: str = "auto",
        gradient_precision: str = "float32",
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
        discretisation: Literal["euler", "symplectic", "exact"] = "euler",
        theta: float = 1.0,
    ) -> None: ...

class BHRF(NeuronLayer):
    """Balanced harmonic resonate-and-fire: Higuchi, Kairat, Bohté, Otte, ICML 2024 (arXiv:2402.14603), appendix; published code.

    Real second-order oscillator with the balance of BRF, semi-implicit as the published code computes it.

    ::

            b_t = δω²/2 + |b'| + q_{t-1}
            v_t = v_{t-1} + δ u_{t-1}
            u_t = u_{t-1} + δ (I_t - 2 b_t u_{t-1} - ω² v_t)
            z_t = Θ(u_t - θ - q_{t-1})
            q_t = γ q_{t-1} + z_t

    Arguments as :class:`NeuronLayer`, and:

        theta: 1.
        gamma: 0.9.

    Trained, one per neuron:

        omega: angular frequency; enters as |ω| (rad / time), from U(5, 10).
        b_offset: damping offset; enters as |b'| (1 / time), from U(0.1, 1).
    """

    def __init__(
        self,
        in_features: int,
        units: int,
        *,
        recurrent: bool | None = None,
        bias: bool = False,
        num_layers: int = 1,
        bidirectional: bool = False,
        dt: float = 0.01,
        batch_first: bool = False,
        return_state: bool = True,
        return_states: bool = False,
        threshold: float | None = None,
        trainable: Sequence[str] = (),
        surrogate: str | None = None,
        options: Mapping[str, OptionValue] | None = None,
        constants: Mapping[str, float] | None = None,
        init: Mapping[str, InitLike] | str | None = None,
        backend: str = "auto",
        gradient_precision: str = "float32",
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
        theta: float = 1.0,
        gamma: float = 0.9,
    ) -> None: ...

class ALIF(NeuronLayer):
    """Adaptive leaky integrate-and-fire: Yin, Corradi, Bohté, Nat. Mach. Intell. 2021; as in the code of Higuchi et al. 2024.

    LIF whose threshold rises with its own spikes; soft reset.

    ::

            a_t = ρ a_{t-1} + (1 - ρ) z_{t-1},   ρ = exp(-1/|τ_adp|)
            θ_t = θ + β a_t
            u_t = α u_{t-1} + (1 - α) I_t,   α = exp(-1/|τ_mem|)
            z_t = Θ(u_t - θ_t),   then u_t ← u_t - z_t θ_t

    Arguments as :class:`NeuronLayer`, and:

        theta: 0.01.
        beta: 1.8.

    Trained, one per neuron:

        tau_mem: membrane time constant; enters as |τ_mem| (steps), from N(20, 5²).
        tau_adp: adaptation time constant, as |τ_adp| (steps), from N(200, 50²).
    """

    def __init__(
        self,
        in_features: int,
        units: int,
        *,
        recurrent: bool | None = None,
        bias: bool = False,
        num_layers: int = 1,
        bidirectional: bool = False,
        dt: float = 0.01,
        batch_first: bool = False,
        return_state: bool = True,
        return_states: bool = False,
        threshold: float | None = None,
        trainable: Sequence[str] = (),
        surrogate: str | None = None,
        options: Mapping[str, OptionValue] | None = None,
        constants: Mapping[str, float] | None = None,
        init: Mapping[str, InitLike] | str | None = None,
        backend: str = "auto",
        gradient_precision: str = "float32",
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
        theta: float = 0.01,
        beta: float = 1.8,
    ) -> None: ...

class SEAdLIF(NeuronLayer):
    """Adaptive leaky integrate-and-fire, symplectic Euler: Baronig, Ferrand, Sabathiel, Legenstein, Nat. Commun. 2025 (arXiv:2408.07517).

    LIF with an adaptation current that follows membrane and spikes, taken from the new membrane value. Gradients run through the reset, too; in the published code, which keeps a, b and τ in their initial ranges, they do not.

    ::

            u_t = α u_{t-1} + (1 - α) (I_t - w_{t-1}),   α = exp(-1/|τ_u|)
            z_t = Θ(u_t - θ),   then u_t ← (1 - z_t) u_t
            w_t = ρ w_{t-1} + (1 - ρ) q (|a| u_t + |b| z_t),   ρ = exp(-1/|τ_w|)

    Arguments as :class:`NeuronLayer`, and:

        theta: 1.
        q: 120.

    Trained, one per neuron:

        tau_mem: membrane time constant; enters as |τ_u| (steps), from U(5, 25).
        tau_adp: adaptation time constant, as |τ_w| (steps), from U(60, 300).
        a: adaptation to the membrane; enters as q |a| (1 / q), from U(0, 1).
        b: adaptation to spikes; enters as q |b| (1 / q), from U(0, 2).
    """

    def __init__(
        self,
        in_features: int,
        units: int,
        *,
        recurrent: bool | None = None,
        bias: bool = False,
        num_layers: int = 1,
        bidirectional: bool = False,
        dt: float = 0.01,
        batch_first: bool = False,
        return_state: bool = True,
        return_states: bool = False,
        threshold: float | None = None,
        trainable: Sequence[str] = (),
        surrogate: str | None = None,
        options: Mapping[str, OptionValue] | None = None,
        constants: Mapping[str, float] | None = None,
        init: Mapping[str, InitLike] | str | None = None,
        backend: str = "auto",
        gradient_precision: str = "float32",
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
        theta: float = 1.0,
        q: float = 120.0,
    ) -> None: ...

class LIF(NeuronLayer):
    """Leaky integrate-and-fire: as in the code of Higuchi et al. 2024.

    First-order low-pass membrane with soft reset.

    ::

            u_t = α u_{t-1} + (1 - α) I_t,   α = exp(-1/|τ_mem|)
            z_t = Θ(u_t - θ),   then u_t ← u_t - z_t θ

    Arguments as :class:`NeuronLayer`, and:

        theta: 1.

    Trained, one per neuron:

        tau_mem: membrane time constant; enters as |τ_mem| (steps), from N(20, 5²).
    """

    def __init__(
        self,
        in_features: int,
        units: int,
        *,
        recurrent: bool | None = None,
        bias: bool = False,
        num_layers: int = 1,
        bidirectional: bool = False,
        dt: float = 0.01,
        batch_first: bool = False,
        return_state: bool = True,
        return_states: bool = False,
        threshold: float | None = None,
        trainable: Sequence[str] = (),
        surrogate: str | None = None,
        options: Mapping[str, OptionValue] | None = None,
        constants: Mapping[str, float] | None = None,
        init: Mapping[str, InitLike] | str | None = None,
        backend: str = "auto",
        gradient_precision: str = "float32",
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
        theta: float = 1.0,
    ) -> None: ...

class RFIzhikevich(NeuronLayer):
    """Resonate-and-fire with Izhikevich's reset: Izhikevich, Neural Networks 14, 2001; as in the code of Higuchi et al. 2024.

    Spikes when the imaginary part crosses the threshold; the state is then set to i.

    ::

            u_t = u_{t-1} + δ (b u_{t-1} - ω v_{t-1} + I_t),   b = -|b'|
            v_t = v_{t-1} + δ (ω u_{t-1} + b v_{t-1})
            z_t = Θ(v_t - θ),   then u_t + i v_t ← i where z_t = 1

    Arguments as :class:`NeuronLayer`, and:

        discretisation: euler: explicit Euler, stable for b below p(ω).
        discretisation: symplectic: semi-implicit Euler, stable for b below 0 and δω below 2 + δb.
        discretisation: exact: exponential: exact for a current held over the step, stable for b below 0.
        theta: 1.

    Trained, one per neuron:

        omega: angular frequency; enters as |ω| (rad / time), from U(5, 10).
        b_offset: damping offset; enters as |b'| (1 / time), from U(0.1, 1).
    """

    def __init__(
        self,
        in_features: int,
        units: int,
        *,
        recurrent: bool | None = None,
        bias: bool = False,
        num_layers: int = 1,
        bidirectional: bool = False,
        dt: float = 0.01,
        batch_first: bool = False,
        return_state: bool = True,
        return_states: bool = False,
        threshold: float | None = None,
        trainable: Sequence[str] = (),
        surrogate: str | None = None,
        options: Mapping[str, OptionValue] | None = None,
        constants: Mapping[str, float] | None = None,
        init: Mapping[str, InitLike] | str | None = None,
        backend: str = "auto",
        gradient_precision: str = "float32",
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
        discretisation: Literal["euler", "symplectic", "exact"] = "euler",
        theta: float = 1.0,
    ) -> None: ...

class LI(NeuronLayer):
    """Leaky integrator: Higuchi et al., ICML 2024.

    Non-spiking readout: low-pass filtered sum of spikes, one unit per class.

    ::

            u_t = α u_{t-1} + (1 - α) I_t,   α = exp(-1/|τ_mem|)

    Arguments as :class:`NeuronLayer`.

    Trained, one per neuron:

        tau_mem: membrane time constant; enters as |τ_mem| (steps), from N(20, 5²).
    """

    def __init__(
        self,
        in_features: int,
        units: int,
        *,
        bias: bool = False,
        bidirectional: bool = False,
        dt: float = 0.01,
        batch_first: bool = False,
        return_state: bool = True,
        return_states: bool = False,
        options: Mapping[str, OptionValue] | None = None,
        constants: Mapping[str, float] | None = None,
        init: Mapping[str, InitLike] | str | None = None,
        backend: str = "auto",
        gradient_precision: str = "float32",
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
    ) -> None: ...

class LISigmoid(NeuronLayer):
    """Leaky integrator with sigmoid decay: published code of Higuchi et al. 2024.

    Readout of the published BHRF networks: the trained number is the logit of the decay.

    ::

            u_t = α u_{t-1} + (1 - α) I_t,   α = 1 / (1 + exp(-τ))

    Arguments as :class:`NeuronLayer`.

    Trained, one per neuron:

        tau_mem: logit of the decay per step (logit), from N(0, 0.1²).
    """

    def __init__(
        self,
        in_features: int,
        units: int,
        *,
        bias: bool = False,
        bidirectional: bool = False,
        dt: float = 0.01,
        batch_first: bool = False,
        return_state: bool = True,
        return_states: bool = False,
        options: Mapping[str, OptionValue] | None = None,
        constants: Mapping[str, float] | None = None,
        init: Mapping[str, InitLike] | str | None = None,
        backend: str = "auto",
        gradient_precision: str = "float32",
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
    ) -> None: ...
