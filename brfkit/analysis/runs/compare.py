"""Several runs side by side: groups that differ only in the seed, their figures and learning curves. Needs no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brfkit.analysis.runs.groups import Figure, Group
from brfkit.analysis.runs.labels import Name, name_groups
from brfkit.analysis.runs.reading import RunRecord, expand, read_run
from brfkit.analysis.runs.significance import Difference, paired_difference
from brfkit.errors import BrfkitError
from brfkit.runs.remarks import frozen_note, silence_remedy

SHARES = (95, 98, 100)
DEFINITION = (
    "epoch of N %: the first epoch whose {split} accuracy is at least N % of that of the run's last epoch, run by run, "
    "empty for runs that have not learned; of the mean curve: the same for the mean over the runs"
)


@dataclass(frozen=True)
class Comparison:
    """Groups in the order of their first run, the runs that were left out with the reason, and remarks on runs."""

    split: str
    groups: tuple[Group, ...]
    left_out: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]

    @property
    def definition(self) -> str:
        return DEFINITION.format(split=self.split)

    def differences(self) -> tuple[Difference | None, ...]:
        """For each group, how it differs from the first one on the same data, paired over seeds; None for that one."""
        firsts: dict[str, Group] = {}
        for group in self.groups:
            firsts.setdefault(group.dataset, group)
        return tuple(
            None if firsts[group.dataset] is group else paired_difference(group, firsts[group.dataset])
            for group in self.groups
        )


def compare(folders: Sequence[str | Path], *, split: str = "test", labels: Sequence[str] = ()) -> Comparison:
    """Read runs and group them over their seeds.

    Args:
        folders: of runs, or of several seeds (``--seeds``).
        split: ``test`` or ``validation``: whose figures are compared.
        labels: names of the groups in their order; without any, they are named after what differs, or after their
            folders where that is long.

    Raises:
        BrfkitError: no run could be read, or there are more or fewer labels than groups.
    """
    runs: list[RunRecord] = []
    left_out: list[tuple[str, str]] = []
    for folder in expand(folders):
        try:
            runs.append(read_run(folder, split))
        except BrfkitError as error:
            left_out.append((str(folder), str(error).removeprefix(f"{folder}/")))
    if not runs:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out)
        raise BrfkitError(f"none of the folders holds a run that can be compared ({reasons})")
    grouped: dict[str, list[RunRecord]] = {}
    for run in runs:
        grouped.setdefault(_identity(run), []).append(run)
    members = [tuple(group) for group in grouped.values()]
    if labels and len(labels) != len(members):
        first = ", ".join(str(group[0].folder) for group in members)
        raise BrfkitError(f"{len(labels)} labels for {len(members)} groups (those that begin with {first})")
    names = name_groups([group[0].config.to_dict() for group in members], _folders(members))
    if labels:
        names = [Name(label, name.settings) for label, name in zip(labels, names, strict=True)]
    groups = tuple(Group(n.label, group, n.settings) for n, group in zip(names, members, strict=True))
    return Comparison(split, groups, tuple(left_out), tuple(_remarks(groups)))


def _folders(groups: Sequence[Sequence[RunRecord]]) -> list[str]:
    """For each group the end of its folder's path that no other group has; without the part of a seed."""
    paths = [group[0].folder.resolve() for group in groups]
    paths = [path.parent if path.name.startswith("seed-") else path for path in paths]
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        ends = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(ends)) == len(ends):
            break
    return ends


def _identity(run: RunRecord) -> str:
    """The settings without those that change no figure of a run, or only its seed."""
    training = dataclasses.replace(run.config.training, seed=0, keep_weights=False)
    return repr(dataclasses.replace(run.config, training=training).to_dict())


def _remarks(groups: Sequence[Group]) -> list[str]:
    found: list[str] = []
    for group in groups:
        for run in group.runs:
            if run.diverged:
                found.append(f"{run.folder} diverged ({run.diverged})")
            elif run.silent:
                found.append(_silence(run))
            elif not run.learned:
                found.append(f"{run.folder} has not learned: its accuracy ends at {run.curves['accuracy'][-1]:.2f} %")
            if not run.finished and not run.diverged:
                found.append(f"{run.folder} is not finished: epoch {run.epochs[-1]} of {run.config.training.epochs}")
            # The note on silence is the last one, and has been printed.
            found += [f"{run.folder}: {note}" for note in (run.notes[:-1] if run.silent_layer else run.notes)]
            if run.frozen:
                found.append(f"{run.folder}: {frozen_note(run.frozen)}")
        seeds = [run.seed for run in group.runs]
        for seed in sorted({s for s in seeds if seeds.count(s) > 1}):
            found.append(f"{group.label}: seed {seed} is there {seeds.count(seed)} times")
        lengths = {int(run.epochs[-1]) for run in group.runs}
        if len(lengths) > 1:
            found.append(
                f"{group.label}: runs of {min(lengths)} to {max(lengths)} epochs; its mean ends with the shortest"
            )
    return found


def _silence(run: RunRecord) -> str:
    if run.silent_layer and run.notes:
        return f"{run.folder} is silent at epoch {run.best_epoch}: {run.notes[-1]}"
    remedy = silence_remedy(run.config.network)
    return f"{run.folder} is silent: no neuron spikes at epoch {run.best_epoch}; {remedy}"


def figures(group: Group, difference: Difference | None = None) -> dict[str, Any]:
    """All figures of a group under the names of the CSV file and the JSON object; ``difference`` as
    :meth:`Comparison.differences` has it."""
    cost = [
        ("firing_rate", "firing_rate"),
        ("synaptic_operations", "effective"),
        ("synaptic_operations_dense", "dense"),
    ]
    values: dict[str, Figure] = {
        "accuracy": group.figure(lambda run: run.at_best("accuracy")),
        "loss": group.figure(lambda run: run.at_best("loss")),
        "final_accuracy": group.figure(lambda run: float(run.curves["accuracy"][-1])),
        "best_epoch": group.figure(lambda run: run.best_epoch),
        "spikes_per_sample": group.figure(lambda run: run.at_best("spikes_per_sample")),
        **{name: group.figure(lambda run, key=key: getattr(run.cost, key, None)) for name, key in cost},  # type: ignore[misc]
        **{f"epoch_{share}": group.epoch_of_share(share) for share in SHARES},
        "seconds": group.figure(lambda run: run.seconds),
    }
    out: dict[str, Any] = {
        "label": group.label,
        "dataset": group.runs[0].config.data.title,
        "neuron": group.runs[0].config.network.title,
        "settings": group.settings,
        "state": group.state,
        "runs": len(group.runs),
        "seeds": [run.seed for run in group.runs],
        "epochs": max(int(run.epochs[-1]) for run in group.runs),
        "parameters": group.runs[0].parameters,
        "accuracy_best": group.best_accuracy,
    }
    for name, figure in values.items():
        out |= {f"{name}_mean": figure.mean, f"{name}_std": figure.std}
    if difference is not None:
        out |= {
            "difference_to": difference.to, "difference_mean": difference.mean, "difference_std": difference.std,
            "difference_p": difference.p, "difference_seeds": difference.count,
        }  # fmt: skip
    else:
        out |= dict.fromkeys(f"difference_{name}" for name in ("to", "mean", "std", "p", "seeds"))
    return out | {f"curve_epoch_{share}": group.mean_curve_epoch(share) for share in SHARES}
