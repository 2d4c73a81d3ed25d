"""Pictures of the ω–b plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.neuron.stability.plane import Plane
from brfkit.analysis.neuron.stability.result import StabilityMap
from brfkit.neurons import get_neuron
from brfkit.neurons.spec import DISCRETISATION
from brfkit.plotting.style import BLACK, ORANGE, SKY, figure, heading, is_paper, label_contours

SHOWN = 1200  # simulated neurons
# Contours where the colours span much, and where they span little.
COARSE, FINE = (0.25, 0.5, 0.75, 0.9, 1.1, 1.25, 1.5, 2.0), (0.9, 0.95, 0.98, 1.02, 1.05, 1.1)
GRID = 201
# Grey, so that white symbols can be seen.
LEGEND: dict[str, Any] = {
    "fontsize": 8, "ncols": 2, "facecolor": "0.6", "edgecolor": "0.6", "framealpha": 1.0, "columnspacing": 1.0,
    "handletextpad": 0.4,
}  # fmt: skip
TIP = 33  # points of the boundary between the last ω of a grid and where it ends
NETWORK_LOOK = {"before": ("s", ORANGE, 20), "after": ("^", SKY, 26)}


def stability_figure(result: StabilityMap) -> Any:
    """Spectral radius as colour, the boundary, simulated neurons; with a trained network a second panel around it."""
    network = bool(result.network)
    count = 2 if network else 1
    fig = figure(12.5 if network else 8.0, 6.2, 3.4 * count)
    axes = fig.subplots(*((count, 1) if is_paper() else (1, count)), squeeze=False).ravel()
    mesh = _plane(axes[0], result.omega_axis, result.b_axis, result.radius_plane)
    _boundary(axes[0], result.plane, result.omega_axis, result.lower, result.upper, result.balance)
    _simulated(axes[0], result)
    _finish(axes[0], result, result.omega_axis, result.b_axis)
    fig.colorbar(mesh, ax=axes[0], label="spectral radius of a step", pad=0.02)
    if not is_paper():
        words = f"{len(result.omega):,} simulated neurons, {result.agreement:.4g} % as predicted"
        axes[0].set_title(words, fontsize=10)
    if network:
        _zoom(fig, axes[1], result)
    spec = get_neuron(result.plane.neuron)
    options = spec.resolve_options(result.plane.options or {})
    off = [option.name.replace("_", " ") for option in spec.options if not options[option.name]]
    without = f", without {', '.join(off)}" if off else ""
    scheme = f", {options[DISCRETISATION]}" if len(spec.discretisations) > 1 else ""
    if is_paper():
        _common_legend(fig, list(axes))
    heading(fig, f"{spec.title}{scheme}, δ = {result.plane.dt:g}{without}", 12)
    return fig


def _plane(ax: Any, w: NDArray[np.float64], b: NDArray[np.float64], radius: NDArray[np.float64]) -> Any:
    finite = np.where(np.isfinite(radius), radius, np.nan)
    top = float(np.nanquantile(finite, 0.98))
    mesh = ax.pcolormesh(w, b, finite, cmap="viridis", vmax=top, shading="gouraud", rasterized=True)
    low, high = float(np.nanmin(finite)), top
    levels = [level for level in (FINE if low > 0.7 else COARSE) if low < level < high]
    if levels:
        lines = ax.contour(w, b, finite, levels=levels, colors="0.85", linewidths=0.7)
        label_contours(ax, lines, fontsize=7, fmt="%g")
    return mesh


def _boundary(
    ax: Any,
    plane: Plane,
    w: NDArray[np.float64],
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
    balance: NDArray[np.float64],
) -> None:
    look = {"color": BLACK, "linewidth": 2.0}
    ends = np.flatnonzero(np.isfinite(upper))
    if len(ends) and ends[-1] + 1 < len(w):  # both meet between two values of ω, at a right angle to its axis
        last = ends[-1]
        tip = plane.tip(w[last], w[last + 1])
        near = tip - (tip - w[last]) * np.linspace(1.0, 0.0, TIP) ** 2
        low, high = plane.boundary(near)
        ax.plot(near, high, **look)
        ax.plot(near, low, **look)
    ax.plot(w, upper, label="spectral radius 1", **look)
    ax.plot(w, lower, **look)
    name = "b at b′ = 0" + (", p(ω)" if plane.balanced and plane.limit == 1.0 else "")
    ax.plot(w, balance, color="white", linestyle="--", linewidth=1.4, label=name)


def _simulated(ax: Any, result: StabilityMap) -> None:
    few = np.arange(min(SHOWN, len(result.omega)))
    for diverged, marker, colour, name in ((False, ".", "white", "bounded"), (True, "x", "0.15", "diverging")):
        chosen = few[result.diverged[few] == diverged]
        look = {"s": 9 if diverged else 5, "linewidths": 0.6, "rasterized": True}
        ax.scatter(result.omega[chosen], result.b[chosen], marker=marker, color=colour, label=name, **look)
    wrong = result.disagrees
    if wrong.any():
        ax.scatter(result.omega[wrong], result.b[wrong], s=60, facecolor="none", edgecolor="red", label="disagrees")


def _finish(ax: Any, result: StabilityMap, w: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    ax.set(xlim=(w[0], w[-1]), ylim=(b[0], b[-1]), xlabel="ω (rad / time)", ylabel="b (1 / time)")
    if not is_paper():
        _bigger(ax.legend(loc="upper left", bbox_to_anchor=(0, -0.11), **LEGEND))


def _common_legend(fig: Any, axes: list[Any]) -> None:
    """One legend of all panels below them."""
    found: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    _bigger(fig.legend(list(found.values()), list(found), loc="outside lower center", **LEGEND))


def _bigger(legend: Any) -> None:
    """Symbols of a legend that can be seen."""
    for handle in legend.legend_handles:
        if hasattr(handle, "set_sizes"):
            handle.set_sizes([30])


def _zoom(fig: Any, ax: Any, result: StabilityMap) -> None:
    """The part of the plane where the network's neurons are."""
    plane = result.plane
    w_all, b_all = (np.concatenate([getattr(one, n) for one in result.network.values()]) for n in ("omega", "b"))
    w = np.linspace(0.0, min(1.08 * float(w_all.max()), plane.largest_omega), GRID)
    balance = plane.own_damping(w, np.zeros_like(w))
    low, high = min(float(b_all.min()), float(balance.min())), max(float(b_all.max()), float(balance.max()))
    room = 0.08 * (high - low) or 1.0
    b = np.linspace(low - room, high + room, GRID)
    mesh = _plane(ax, w, b, plane.radius(w[None], b[:, None]))
    lower, upper = plane.boundary(w)
    _boundary(ax, plane, w, lower, upper, balance)
    for name, one in result.network.items():
        marker, colour, size = NETWORK_LOOK[name]
        ax.scatter(
            one.omega, one.b, marker=marker, s=size, facecolor=colour, edgecolor=BLACK, linewidths=0.7, zorder=3,
            label=f"{name} training",
        )  # fmt: skip
    _finish(ax, result, w, b)
    if not is_paper():
        ax.set_title(f"{len(next(iter(result.network.values())).omega)} neurons of the network", fontsize=10)
    fig.colorbar(mesh, ax=ax, label="spectral radius of a step", pad=0.02)
