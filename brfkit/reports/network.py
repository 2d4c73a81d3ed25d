"""Sections of a report that run the network: inspection, robustness, gradient flow."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from brfkit.errors import BrfkitError
from brfkit.reports.context import Context
from brfkit.reports.parts import Block, Note, Picture, Section, Table, Watch, number

if TYPE_CHECKING:
    from brfkit.analysis.network.gradients.profile import GradientFlow
    from brfkit.analysis.network.inspect.inspection import Inspection, LayerInspection
    from brfkit.analysis.network.robustness import Robustness

GRADIENT_SAMPLES = 16
MANY_CLASSES = 40
SHOWN = (0, 1)  # samples that are drawn, as brfkit inspect does


def inspect_section(context: Context, watch: Watch) -> Section:
    """What the neurons have become, what they do, where the network errs."""
    from brfkit.analysis.network.inspect.inspection import inspect

    with watch("inspect", "samples") as advance:
        found = inspect(context.network, context.data, samples=None, progress=advance, **context.computing())
    shown = tuple(number for number in SHOWN if number < found.samples)
    intro = (
        f"{found.samples:,} {found.split} samples of {found.dataset}: accuracy {found.accuracy:.2f} %, loss "
        f"{found.loss:.4g}, {found.spikes_per_sample:,.1f} spikes per sample."
    )
    blocks: list[Block] = [
        *(_neurons(layer) for layer in found.layers),
        *_inspect_pictures(context, found, shown),
        _weights(found),
    ]
    if len(found.class_names) <= MANY_CLASSES:
        blocks.append(_confusion(found))
    return Section("inspect", "Inside the network", intro, tuple(blocks))


def _inspect_pictures(context: Context, found: Inspection, shown: tuple[int, ...]) -> list[Picture]:
    from brfkit.plotting.inspect import figures

    words: list[str | int] = [
        "--samples",
        context.scope.samples,
        "--show",
        ",".join(map(str, shown)),
        "--out",
        "inspection",
    ]
    if context.dtype != "float32":
        words += ["--dtype", context.dtype]
    line = context.command("inspect", *words)
    drawn = {**figures(found), **_of_samples(context, shown)}
    texts = _inspect_texts(found)
    pictures = []
    for name, draw in drawn.items():
        caption, alt = texts.get(name) or _sample_text(name, found)
        pictures.append(Picture(name, draw, caption, alt, (f"{line}  # {name}.png",)))
    return pictures


def _of_samples(context: Context, shown: tuple[int, ...]) -> dict[str, Any]:
    """Pictures of single samples, under the names that ``brfkit inspect`` gives their files."""
    from brfkit.analysis.network.simulate import simulate_network
    from brfkit.plotting.inspect_data import labels_figure
    from brfkit.plotting.network_trace import network_figure

    runs = [
        simulate_network(
            context.network, context.data, sample=sample, dtype=context.dtype, backend=context.setup.backend
        )
        for sample in shown
    ]
    drawn = {f"sample-{run.sample}": partial(network_figure, run) for run in runs[:1]}
    if runs and not isinstance(runs[0].label, int):
        drawn["labels"] = partial(labels_figure, runs)
    return drawn


def _inspect_texts(found: Inspection) -> dict[str, tuple[str, str]]:
    """Caption and alternative text of each picture."""
    medians = "; ".join(
        f"{layer.name}: " + ", ".join(f"median {name} {np.median(v):.3g}" for name, v in layer.parameters.items())
        for layer in found.layers
    )
    norms = ", ".join(f"{name} {figures['norm']:.4g}" for name, figures in found.weights.items())
    activity = "; ".join(
        f"{layer.name}: mean firing rate {100.0 * layer.rate.mean():.3g} %, {len(layer.dead)} dead and "
        f"{len(layer.saturated)} saturated neurons"
        for layer in found.layers
    )
    learned = any("omega" in layer.parameters for layer in found.layers)
    peak = float(found.spectrum_omega[int(found.spectrum.mean(1).argmax())]) if found.spectrum_omega.size else 0.0
    return {
        "parameters": (
            "Every parameter of the neurons and of the readout, and how long each neuron rings at which frequency.",
            f"Histograms of the neurons' parameters. {medians}.",
        ),
        "weights": (
            "Every weight matrix, and the eigenvalues of W_rec with the circle of their spectral radius.",
            f"Histograms of the weight matrices and eigenvalues of the recurrent ones. Norms: {norms}.",
        ),
        "activity": (
            "Left: firing rate of every neuron. Right: firing rate for each class, neurons in the order of frequency.",
            f"Firing rates. {activity}.",
        ),
        "spectrum": (
            "Mean power of the input over frequency"
            + (", above the ω that the neurons have learned." if learned else "."),
            f"Line chart of the power of the input, strongest at {peak:.3g} rad per unit of time"
            + (", above a histogram of the learned ω." if learned else "."),
        ),
        "confusion": (
            "Share of the samples of each true class (rows) for which the network predicts each class (columns).",
            f"Confusion matrix: accuracy {found.accuracy:.2f} % of {int(found.confusion.sum()):,} predictions. "
            "The numbers are in the table below.",
        ),
        "labels": (
            "True and predicted classes over the signal, and between them the steps at which they differ.",
            "The signal of the first test samples over time, with bands of colour for true and predicted classes.",
        ),
    }


def _sample_text(name: str, found: Inspection) -> tuple[str, str]:
    sample = name.rpartition("-")[2]
    return (
        f"Test sample {sample}: input, spikes of every neuron, the states of an active neuron, the outputs, and the "
        "predicted class beside the true one.",
        f"Input, spike raster of {', '.join(layer.name for layer in found.layers) or 'no spiking layer'}, states and "
        f"outputs over time for test sample {sample}.",
    )


def _neurons(layer: LayerInspection) -> Table:
    values = {
        **layer.parameters,
        "frequency at rest (rad / time)": layer.resonance.omega,
        "memory (steps)": layer.resonance.memory,
        "firing rate (% of the steps)": 100.0 * layer.rate,
    }
    rows = []
    for name, value in values.items():
        low, median, high = np.percentile(value, (0, 50, 100))
        rows.append((name, *(number(float(v)) for v in (low, median, value.mean(), high))))
    rate = f"{len(layer.dead)} dead, {len(layer.saturated)} saturated"
    caption = f"{layer.name}: {len(layer.rate)} {layer.neuron} neurons, {rate}"
    return Table(caption, ("quantity", "least", "median", "mean", "most"), tuple(rows))


def _weights(found: Inspection) -> Table:
    columns = ("norm", "mean", "std", "largest", "spectral_norm", "spectral_radius")
    rows = [
        (name, *(number(figures.get(column)) for column in columns)) for name, figures in found.weights.items()
    ]  # fmt: skip
    return Table("Weights", ("weight", *(c.replace("_", " ") for c in columns)), tuple(rows), folded=True)


def _confusion(found: Inspection) -> Table:
    rows = [
        (name, *map(number, row)) for name, row in zip(found.class_names, found.confusion.tolist(), strict=True)
    ]  # fmt: skip
    caption = "Confusion matrix (samples or steps): true class by row, predicted class by column"
    return Table(caption, ("true", *found.class_names), tuple(rows), folded=True)


def robustness_section(context: Context, watch: Watch) -> Section:
    """Accuracy under each perturbation; one that this network or its data do not admit becomes a note."""
    from brfkit.analysis.network.robustness import robustness

    results: list[Robustness] = []
    notes: list[Note] = []
    for name in context.scope.perturbations:
        try:
            with watch(f"robustness, {name}", "samples") as advance:
                results.append(
                    robustness(
                        context.network,
                        name,
                        context.data,
                        repeats=context.scope.repeats,
                        progress=advance,
                        **context.computing(),
                    )
                )
        except BrfkitError as error:
            notes.append(Note(f"{name}: {error}"))
    if not results:
        raise BrfkitError("; ".join(note.text for note in notes) or "no perturbation was asked for")
    blocks: list[Block] = [_ends(results)]
    for result in results:
        blocks += [_robustness_picture(context, result), _levels(result)]
    intro = (
        f"Accuracy, loss and spikes on {results[0].samples:,} test samples while the network or its input is disturbed "
        f"more and more; mean over {context.scope.repeats} repeats, bars: ± standard deviation."
    )
    return Section("robustness", "Robustness", intro, (*blocks, *notes))


def _order(result: Robustness) -> list[int]:
    """Places of the levels from the mildest to the strongest; fewer bits are stronger."""
    return [int(i) for i in np.argsort(result.levels)][:: 1 if result.perturbation.random else -1]


def _ends(results: list[Robustness]) -> Table:
    rows = []
    for result in results:
        accuracy, order = result.mean("accuracy"), _order(result)
        ends = [f"{accuracy[i]:.2f} (at {result.levels[i]:g})" for i in (order[0], order[-1])]
        rows.append((result.perturbation.name, result.perturbation.doc, *ends))
    columns = ("perturbation", "what is done", "accuracy, mildest (%)", "accuracy, strongest (%)")
    return Table("Mildest and strongest level of each perturbation", columns, tuple(rows))


def _robustness_picture(context: Context, result: Robustness) -> Picture:
    from brfkit.plotting.robustness import robustness_figure

    name, accuracy = result.perturbation.name, result.mean("accuracy")
    words: list[str | int] = [
        "--perturbation",
        name,
        "--samples",
        context.scope.samples,
        "--repeats",
        context.scope.repeats,
    ]
    if context.dtype != "float32":
        words += ["--dtype", context.dtype]
    course = ", ".join(f"{accuracy[i]:.1f} % at {result.levels[i]:g}" for i in _order(result))
    return Picture(
        name,
        partial(robustness_figure, result),
        f"{name.replace('-', ' ').capitalize()}: {result.perturbation.doc}.",
        f"Accuracy, loss and spikes per sample over the {result.perturbation.level}. Accuracy: {course}.",
        (context.command("robustness", *words, "--plot", f"{name}.png"),),
    )


def _levels(result: Robustness) -> Table:
    columns = (result.mean("accuracy"), result.std("accuracy"), result.mean("loss"), result.mean("spikes_per_sample"))
    rows = [
        (f"{level:g}", f"{accuracy:.2f}", f"{std:.2f}", number(loss), number(spikes))
        for level, accuracy, std, loss, spikes in zip(result.levels, *columns, strict=True)
    ]
    names = ("level", "accuracy (%)", "± std", "loss (nats)", "spikes per sample")
    return Table(f"{result.perturbation.name}; level: {result.perturbation.level}", names, tuple(rows), folded=True)


def gradients_section(context: Context, watch: Watch) -> Section:
    """Gradient norm at every time step of the backward pass."""
    from brfkit.analysis.network.gradients.profile import gradients
    from brfkit.plotting.gradients import gradients_figure

    samples = min(GRADIENT_SAMPLES, context.scope.samples)
    with watch("gradients", "passes") as advance:
        flow = gradients(
            context.network, context.data, samples=samples, progress=advance, backend=context.setup.backend
        )
    slopes = ", ".join(
        f"{layer}, loss of {_LOSS[loss]}: {flow.slope(loss, layer):+.2f} decades per 1,000 steps"
        for loss in flow.curves
        for layer in flow.layers
    )
    picture = Picture(
        "gradients",
        partial(gradients_figure, [flow]),
        "Norm of ∂L/∂state over time for the loss of the task and for that of the last step alone; largest eigenvalue "
        "of one neuron's transition matrix; part of each weight's gradient that has passed through W_rec.",
        f"Line charts of gradient norm over time. Going back in time it changes so: {slopes}.",
        (context.command("gradients", "--samples", samples, "--plot", "gradients.png"),),
    )
    intro = (
        f"The loss of {flow.samples} test samples taken back through {flow.total_steps:,} steps; spikes pass the "
        "gradient on by their surrogate, as in training."
    )
    return Section("gradients", "Gradient flow", intro, (_flow(flow), picture, _through(flow)))


_LOSS = {"task": "the task", "last": "the last step"}


def _flow(flow: GradientFlow) -> Table:
    rows = []
    for loss, by_layer in flow.to_dict()["gradient"].items():
        for layer, found in by_layer.items():
            shares = [f"{100 * found[k]:.1f}" if k in found else "–" for k in ("lost_share", "exploded_share")]
            rows.append((
                f"{layer}, loss of {_LOSS[loss]}", number(found["norm_first"], 3), number(found["norm_last"], 3),
                f"{found['decades_per_1000_steps']:+.2f}", f"{found['span_decades']:.2f}", *shares,
            ))  # fmt: skip
    columns = ("gradient", "‖∂L/∂state‖, first step", "last step", "decades per 1,000 steps back", "span (decades)",
               "lost (%)", "exploded (%)")  # fmt: skip
    return Table("Gradient of the states", columns, tuple(rows))


def _through(flow: GradientFlow) -> Table:
    rows = [
        (weight, number(found["norm"]), number(found["without_w_rec"]), f"{100 * found['share_through_w_rec']:.1f}")
        for weight, found in flow.parameters["task"].items()
    ]
    columns = ("weight", "norm", "norm without paths through W_rec", "through W_rec (%)")
    return Table("Gradient of the weights, loss of the task", columns, tuple(rows), folded=True)
