"""A comparison as CSV, Markdown and LaTeX, and its curves as CSV."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

from brfkit.analysis.runs.compare import SHARES, Comparison, Group, figures
from brfkit.errors import BrfkitError
from brfkit.io.atomic import atomic_write

TABLES = (".csv", ".md", ".tex")
_SPECIAL = str.maketrans({c: f"\\{c}" for c in "&%$#_{}"} | {"ω": "$\\omega$", "δ": "$\\delta$", "×": "$\\times$"})


def amount(value: float, digits: int) -> str:
    """A number for people; nothing to tell is –."""
    return f"{value:,.{digits}f}" if math.isfinite(value) else "–"


def spread(mean: float, std: float, runs: int, digits: int) -> str:
    """``mean ± std``, or the one value there is."""
    return (
        f"{amount(mean, digits)} ± {amount(std, digits)}" if runs > 1 and math.isfinite(mean) else amount(mean, digits)
    )


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def cells(group: Group, split: str) -> dict[str, str]:
    """The figures of a group as text by the heading of the column."""
    values, runs = figures(group), len(group.runs)

    def cell(name: str, digits: int) -> str:
        return spread(values[f"{name}_mean"], values[f"{name}_std"], runs, digits)

    return {
        "network": group.label,
        "runs": str(runs),
        "epochs": str(values["epochs"]),
        f"{split} accuracy (%)": cell("accuracy", 2),
        "best (%)": amount(values["accuracy_best"], 2),
        "spikes per sample": cell("spikes_per_sample", 0),
        "firing rate (%)": amount(100 * values["firing_rate_mean"], 2),
        "synaptic operations": amount(values["synaptic_operations_mean"], 0),
        "dense": amount(values["synaptic_operations_dense_mean"], 0),
        **{f"epoch of {share} %": cell(f"epoch_{share}", 1 if runs > 1 else 0) for share in SHARES},
        "of the mean curve": " / ".join(str(values[f"curve_epoch_{share}"]) for share in SHARES),
        "parameters": f"{values['parameters']:,}",
        "wall time": duration(values["seconds_mean"]),
    }


def to_csv(comparison: Comparison) -> str:
    """One line per group with every figure; numbers are written so that reading gives them back exactly."""
    rows = [figures(group) for group in comparison.groups]
    for row in rows:
        row["seeds"] = " ".join(map(str, row["seeds"]))
    return _csv(rows)


def curves_csv(comparison: Comparison) -> str:
    """One line per group and epoch: mean and standard deviation of accuracy, loss and spikes over the runs."""
    rows: list[dict[str, Any]] = []
    for group in comparison.groups:
        named = {name: group.curve(name) for name in ("accuracy", "loss", "spikes_per_sample")}
        for i, epoch in enumerate(group.common_epochs()):
            row: dict[str, Any] = {"label": group.label, "epoch": int(epoch), "runs": len(group.runs)}
            for name, (_, mean, std) in named.items():
                row |= {f"{name}_mean": float(mean[i]), f"{name}_std": float(std[i])}
            rows.append(row)
    return _csv(rows)


def _csv(rows: list[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def to_markdown(comparison: Comparison) -> str:
    rows = [cells(group, comparison.split) for group in comparison.groups]
    lines = [list(rows[0]), ["---", *["---:"] * (len(rows[0]) - 1)], *(list(row.values()) for row in rows)]
    table = "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)
    return f"{table}\n\n{_caption(comparison)}\n"


def to_latex(comparison: Comparison) -> str:
    """A ``table`` with the rules of the package booktabs."""
    rows = [cells(group, comparison.split) for group in comparison.groups]
    body = [" & ".join(_latex(text) for text in line) + r" \\" for line in (list(rows[0]), *(r.values() for r in rows))]
    return "\n".join(
        [
            r"\begin{table}", r"\centering", rf"\caption{{{_latex(_caption(comparison))}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(rows[0]) - 1)}}}", r"\toprule", body[0], r"\midrule", *body[1:],
            r"\bottomrule", r"\end{tabular}", r"\end{table}", "",
        ]
    )  # fmt: skip


def _latex(text: str) -> str:
    return (
        text.translate(_SPECIAL)
        .replace(" ± ", r" $\pm$ ")
        .replace("–", "--")
        .replace(",", "{,}" if _is_number(text) else ",")
    )


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").replace(" ± ", "").isdigit()


def _caption(comparison: Comparison) -> str:
    return (
        f"Mean ± standard deviation over runs, {comparison.split} figures at the epoch of the lowest validation loss. "
        f"{comparison.definition[0].upper()}{comparison.definition[1:]}."
    )


def write_table(path: str | Path, comparison: Comparison, force: bool = False) -> None:
    """Write the table as the suffix says: ``.csv``, ``.md`` or ``.tex``.

    Raises:
        BrfkitError: another suffix, or the file exists and `force` is not set.
    """
    makers = {".csv": to_csv, ".md": to_markdown, ".tex": to_latex}
    if Path(path).suffix not in makers:
        raise BrfkitError(f"{path} must end in {', '.join(makers)}")
    with atomic_write(path, "w", force) as stream:
        stream.write(makers[Path(path).suffix](comparison))
