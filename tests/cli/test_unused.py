"""Every option of every command has an effect, or says that it has none: a note, an error, or a stated reason here."""

from __future__ import annotations

import click
import pytest

from brfkit.analysis.landscape.store import MAGIC
from brfkit.cli.command import Option
from tests.cli.test_contract import ALL

SURFACE = "surface.h5"

# Values that an option takes, where its type does not tell.
VALUES = {
    "vary": "dt=0.001,0.01", "omega": "10", "b": "-5:1", "settings": "theta=1", "frequencies": "1:10",
    "measure": "sine",
    "levels": "0,1", "show": "0", "out": "x", "plot": "x.png", "html": "x.html", "curves": "x.csv",
    "columns": "accuracy",
    "seeds": "0-1", "sections": "run", "neuron": "brf", "neurons": "brf", "discretisation": "exact",
}  # fmt: skip

# Command lines on which an option without `needs`, `excludes` or `idle` has no effect, and what is then said.
TRAIN = ("train", "--dataset", "tones")
TONES = ("--dataset", "tones", "--data-dir", "folder")
SIMULATE = ("simulate", "--steps", "5")
CASES: dict[str, list[tuple[tuple[str, ...], str]]] = {
    "train data__dataset": [(("train", "--dataset", ""), "it is empty")],
    "train network__neuron": [(("train", "--neuron", ""), "it is empty")],
    "train data__permutation": [((*TRAIN, "--permutation", "p.npy"), "takes no permutation")],
    "train data__binning": [((*TRAIN, "--binning", "paper"), "takes no binning")],
    "train data__bin_width": [((*TRAIN, "--bin-width", "0.1"), "takes no binning")],
    "train data__bins": [((*TRAIN, "--bins", "3"), "takes no binning")],
    "train data__time_unit": [((*TRAIN, "--time-unit", "ms"), "takes no")],
    "train data__ignore_unlabelled": [((*TRAIN, "--ignore-unlabelled"), "has no steps without a label")],
    "train data__test_fraction": [((*TRAIN, "--test-fraction", "0.1"), "no test fraction")],
    "train data__test_speakers": [((*TRAIN, "--test-speakers", "a"), "test_speakers has no effect unless")],
    "train data__speaker_pattern": [((*TRAIN, "--speaker-pattern", "<speaker>"), "no effect unless")],
    "train data__front_end": [((*TRAIN, "--front-end", "mel"), "front_end has no effect unless")],
    "train data__sample_rate": [((*TRAIN, "--sample-rate", "8000"), "sample_rate has no effect unless")],
    "train data__duration": [((*TRAIN, "--duration", "1"), "duration has no effect unless")],
    "train data__frame_step": [((*TRAIN, "--frame-step", "0.1"), "frame_step has no effect unless")],
    "train data__frame_width": [((*TRAIN, "--frame-width", "0.1"), "frame_width has no effect unless")],
    "train data__bands": [((*TRAIN, "--bands", "8"), "bands has no effect unless")],
    "train data__coefficients": [((*TRAIN, "--coefficients", "8"), "coefficients has no effect unless")],
    "train data__threshold": [((*TRAIN, "--threshold", "8"), "threshold has no effect unless")],
    "train data__validation": [((*TRAIN, "--validation", "blocks", "--validation-fraction", "0"), "has no effect")],
    "train training__rate_target": [((*TRAIN, "--rate-target", "0.1"), "rate_target has no effect")],
    "train training__stop_accuracy": [
        ((*TRAIN, "--stop-accuracy", "50", "--validation-fraction", "0"), "stop_accuracy has no effect")
    ],
    "train training__schedule": [((*TRAIN, "--schedule", "cosine", "--epochs", "1"), "schedule has no effect")],
    "train network__omega_init": [((*TRAIN, "--omega-init", "spectrum", "--start-from", "x"), "start_from")],
    "train network__w_in_init": [
        ((*TRAIN, "--neuron", "lstm", "--w-in-init", "data"), "has no spikes"),
        ((*TRAIN, "--start-from", "x", "--w-in-init", "data"), "w_in_init has no effect"),
    ],
    "train network__dt": [((*TRAIN, "--neuron", "lstm", "--dt", "0.1"), "dt has no effect")],
    "train training__rate_penalty": [((*TRAIN, "--neuron", "lstm", "--rate-penalty", "1"), "no effect")],
    "train training__spike_dropout": [((*TRAIN, "--neuron", "lstm", "--spike-dropout", "0.1"), "no effect")],
    "train training__gradient_precision": [
        ((*TRAIN, "--neuron", "lstm", "--gradient-precision", "bfloat16"), "gradient_precision bfloat16 is not for")
    ],
    "train training__epochs": [((*TRAIN, "--epochs", "3", "--set", "training.epochs=4"), "epochs is given twice")],
    "train settings": [((*TRAIN, "--set", "training.lr=4"), "unknown key training.lr")],
    "train backend": [((*TRAIN, "--neuron", "lstm", "--backend", "numba"), "backend numba has no LSTM")],
    "train seed": [((*TRAIN, "--seed", "1", "--seeds", "0-1"), "Use either --seed or --seeds")],
    "train seeds": [((*TRAIN, "--seed", "1", "--seeds", "0-1"), "Use either --seed or --seeds")],
    "compare labels": [(("compare", "a", "b", "--label", "A", "--label", "A"), "label 'A' is given twice")],
    "landscape points": [(("landscape", SURFACE, "--points", "51"), "--points has no effect on a surface")],
    "landscape samples": [(("landscape", SURFACE, "--samples", "7"), "--samples has no effect on a surface")],
    "landscape line": [(("landscape", "x", "--slice", "--html", "x.html"), "--slice has no surface for --html")],
    "landscape worker_timeout": [(("landscape", "x", "--worker-timeout", "3"), "no effect without torchrun")],
    "frequency omega": [(("frequency", "--omega", "5", "--vary", "omega=5,10"), "given twice")],
    "frequency b_offset": [(("frequency", "--b-offset", "1", "--set", "b_offset=1"), "given twice")],
    "frequency settings": [(("frequency", "--set", "omega=1", "--omega", "2"), "given twice")],
    "frequency dt": [(("frequency", "--dt", "0.1", "--vary", "dt=0.1,0.01"), "given twice")],
    "frequency amplitude": [(("frequency", "--amplitude", "2", "--measure", "none"), "--amplitude has no effect")],
    "frequency duration": [(("frequency", "--duration", "2", "--measure", "none"), "--duration has no effect")],
    "frequency discretisation": [
        (("frequency", "--discretisation", "exact", "--vary", "discretisation=euler,exact"), "given twice")
    ],
    "frequency no_refractory": [(("frequency", "--no-refractory", "--vary", "refractory"), "given twice")],
    "frequency no_smooth_reset": [(("frequency", "--no-smooth-reset", "--vary", "smooth-reset"), "given twice")],
    "frequency no_divergence_boundary": [
        (("frequency", "--no-divergence-boundary", "--vary", "divergence-boundary"), "given twice")
    ],
    "simulate omega": [((*SIMULATE, "--omega", "5", "--set", "omega=5"), "given twice")],
    "simulate b_offset": [((*SIMULATE, "--b-offset", "5", "--set", "b_offset=5"), "given twice")],
    "simulate frequency": [((*SIMULATE, "--stimulus", "step", "--frequency", "5"), "--frequency has no effect")],
    "simulate seed": [((*SIMULATE, "--seed", "5"), "--seed has no effect")],
    "simulate sample": [((*SIMULATE, "--sample", "1"), "--sample does not go without")],
    "simulate dataset": [((*SIMULATE, "--dataset", "tones"), "--dataset does not go without")],
    "simulate split": [((*SIMULATE, "--split", "train"), "--split does not go without")],
    "simulate permutation": [((*SIMULATE, "--permutation", "x.npy"), "--permutation does not go without")],
    "simulate data_dir": [((*SIMULATE, "--data-dir", "x"), "--data-dir does not go without")],
    "simulate dt": [(("simulate", "--checkpoint", "x", "--dt", "0.1"), "--dt does not go with")],
    "bench gradient_precision": [
        (("bench", "--gradient-precision", "bfloat16", "--backend", "torch"), "backend torch has no gradient_precision")
    ],
    "report repeats": [(("report", "x", "--sections", "run", "--repeats", "2"), "--repeats has no effect")],
    "report perturbations": [
        (("report", "x", "--sections", "run", "--perturbation", "input-noise"), "--perturbation has no effect")
    ],
    "report surfaces": [(("report", "x", "--sections", "run", "--surface", "there"), "--surface has no effect")],
    "train data_dir": [(("train", *TONES, "--backend", "cupy"), "--data-dir has no effect: tones is generated")],
    **{
        f"{name} data_dir": [((name, "there", *TONES), "--data-dir has no effect: tones is generated")]
        for name in ("evaluate", "gradients", "inspect", "report")
    },
    "landscape data_dir": [
        (("landscape", "there", *TONES, "--out", "s.h5"), "--data-dir has no effect: tones is generated")
    ],
    "robustness data_dir": [
        (("robustness", "there", *TONES, "--perturbation", "input-noise"), "--data-dir has no effect: tones")
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """A folder with nothing but a file for arguments that must be there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_text("")


def every_option():
    return [
        pytest.param(words, one, id=f"{words} {one.name}")
        for words, loaded in ALL.items()
        for one in loaded.params
        if isinstance(one, click.Option)
    ]


def line(words, *options):
    """A command line with arguments and required options filled in."""
    parts = words.split()
    loaded = ALL[words]
    for one in loaded.params:
        if isinstance(one, click.Argument) and one.required:
            parts.append("x.h5" if words == "landscape" else "x")
        elif one.required and one.opts[0] not in options:
            parts += [one.opts[-1], value(one)]
    return [*parts, *options]


def value(one):
    kind = one.type
    if isinstance(kind, click.Choice):
        return kind.choices[-1]
    if one.name in VALUES:
        return VALUES[one.name]
    if isinstance(kind, click.IntRange):
        return str(max(int(kind.min or 0), 1) + 1)
    if isinstance(kind, click.FloatRange) or kind is click.FLOAT:
        return "0.5"
    return "x"


def spelled(words, name):
    one = next(p for p in ALL[words].params if p.name == name)
    flag = max(one.opts, key=len)
    if one.is_flag:
        return [flag]
    endings = {"landscape": {"out": "x.h5"}, "bench": {"out": "x.json"}, "gradients": {"out": "x.csv"}}
    return [flag, endings.get(words, {}).get(name, value(one))]


@pytest.mark.parametrize(("words", "one"), every_option())
def test_every_option_is_of_the_class_that_knows_its_effect(words, one):
    assert isinstance(one, Option) or one.name == "help"


@pytest.mark.parametrize(("words", "one"), [p for p in every_option() if getattr(p.values[1], "needs", ())])
def test_an_option_that_needs_another_is_refused_alone(command, words, one):
    result = command(*line(words, *spelled(words, one.name)))
    assert result.code == 2
    assert f"{one.flag} has no effect without" in " ".join(result.err.split())


@pytest.mark.parametrize(("words", "one"), [p for p in every_option() if getattr(p.values[1], "excludes", ())])
def test_options_that_contradict_each_other_are_refused(command, words, one):
    for other in one.excludes:
        needed = [part for name in one.needs[:1] for part in spelled(words, name)]
        result = command(*line(words, *needed, *spelled(words, one.name), *spelled(words, other)))
        assert result.code == 2
        assert "do not go together" in result.err


@pytest.mark.parametrize(("words", "one"), [p for p in every_option() if getattr(p.values[1], "idle", "")])
def test_an_option_that_never_has_an_effect_is_told(command, words, one):
    result = command(*line(words, *spelled(words, one.name)))
    assert f"note: {one.flag} has no effect: {one.idle}" in result.err


@pytest.mark.parametrize("case", CASES)
def test_what_has_no_effect_is_told(command, case, tmp_path):
    (tmp_path / "there").write_text("")
    for arguments, words in CASES[case]:
        if SURFACE in arguments:
            (tmp_path / SURFACE).write_bytes(MAGIC)  # it is not read before the options are found out
        result = command(*arguments)
        assert words in " ".join(result.err.split()), (arguments, result)
        assert result.code in (0, 1, 2)


def described():
    """Options that the declarations or CASES cover."""
    declared = {f"{p.values[0]} {p.values[1].name}" for p in every_option() if covers_itself(p.values[1])}
    return declared | set(CASES)


def covers_itself(one):
    return bool(getattr(one, "needs", ()) or getattr(one, "excludes", ()) or getattr(one, "idle", ""))


def test_every_option_is_covered_or_said_to_have_an_effect_always():
    names = {f"{p.values[0]} {p.values[1].name}" for p in every_option()} - {f"{words} help" for words in ALL}
    open_ = {name for name in names - described() if not has_always_an_effect(name)}
    assert open_ == set(), "give each a line in CASES, or a reason in has_always_an_effect"
    assert set(CASES) <= names


def has_always_an_effect(name):
    *words, option = name.split()
    command = " ".join(words)
    everywhere = {  # what is computed, how, on what, and where the result goes
        "as_json", "debug", "out", "plot", "backend", "threads", "dtype", "batch_size", "samples", "split", "dataset",
        "neuron", "neurons", "data_dir", "permutation", "seed",
    }  # fmt: skip
    if option in everywhere:
        return True
    own = {
        "bench": {"shapes", "backends", "against", "repeats", "memory", "latency", "roofline", "checkpoints"},
        "compare": {"curves", "columns"},
        "data fetch": {"mirror", "force"},  # files that are there stay: fetch says so of each
        "data show": {"binning", "time_unit", "style", "force"},  # --binning is refused by data without events
        "data encode": {"delta", "steps", "annotations", "labels", "force"},
        "evaluate": {"limit_test", "predictions"},
        "frequency": {"vary", "frequencies", "points", "scale", "state", "measure"},
        "gradients": {"points", "check"},
        "neurons": {"kernel"},
        "landscape": {"bound", "directions", "parameters", "match_epoch", "hessian", "radius", "html"},
        "report": {"sections", "force"},
        "robustness": {"labels", "perturbation", "levels", "repeats"},
        "simulate": {
            "no_refractory", "no_smooth_reset", "no_divergence_boundary", "discretisation", "settings", "steps",
            "stimulus", "amplitude", "start", "stop", "checkpoint",
        },
        "spectrogram": {
            "resonators", "lowest", "highest", "scale", "b_offset", "rate", "channel", "downsample", "hop", "spikes",
        },
        "stability": {
            "omega", "b", "settings", "no_refractory", "no_smooth_reset", "no_divergence_boundary", "discretisation",
            "dt", "steps", "checkpoint",
        },
        "sweep run": {"workers", "trials", "storage", "worker"},
        "sweep show": {"storage", "top", "csv_file", "html", "best"},
        "train": {
            "data__limit_train", "data__limit_test", "data__validation_fraction", "network__hidden",
            "network__recurrent", "network__bias", "network__surrogate", "network__discretisation",
            "network__trainable", "network__start_from", "network__w_in_init",
            "training__gradient_precision", "training__batch_size", "training__learning_rate",
            "training__optimizer", "training__weight_decay", "training__clip_norm", "training__tbptt",
            "training__patience", "training__keep_weights", "training__accumulate", "training__warmup_epochs",
            "training__input_dropout", "training__time_stretch", "training__lead_dropout", "training__lead_swap",
            "training__average", "training__dtype", "data__ignore_unlabelled",
            "training__class_weights", "training__label_smoothing", "no_refractory",
            "no_smooth_reset", "no_divergence_boundary", "preset", "config_file",
            "run_dir", "force",
        },
    }  # fmt: skip
    return option in own.get(command, set())
