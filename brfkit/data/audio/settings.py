"""What a front end makes of a recording, and which recordings are the test part."""

from __future__ import annotations

import re
from dataclasses import dataclass

from brfkit.errors import BrfkitError

RAW, MEL, MFCC, COCHLEA, LEVEL_CROSSING = "raw", "mel", "mfcc", "cochlea", "level-crossing"
FRONT_ENDS = (RAW, MEL, MFCC, COCHLEA, LEVEL_CROSSING)
SPIKING = (COCHLEA, LEVEL_CROSSING)
SPEAKER_PATTERN = "<speaker>_<n>"

_THRESHOLDS = {COCHLEA: 0.005, LEVEL_CROSSING: 3.0}


@dataclass(frozen=True)
class AudioSettings:
    """How a folder of recordings is read.

    Attributes:
        front_end: one of `FRONT_ENDS`.
        sample_rate: samples per second to which recordings are resampled; None keeps theirs.
        duration: seconds of a recording that are kept; shorter ones are padded with silence. None takes as long as
            95 % of the recordings need.
        frame_step: length of a step in seconds, of every front end but ``raw``.
        frame_width: length of the window of a spectrum in seconds, of ``mel``, ``mfcc`` and ``level-crossing``.
        bands: frequency bands; the channels of ``mel`` and ``cochlea``, half of those of ``level-crossing``.
        coefficients: channels of ``mfcc``.
        threshold: of ``cochlea``, the integral over time of the compressed output of a band (1 at the root mean square
            of the recording) that gives a spike; of ``level-crossing``, the distance of levels in dB. None takes 0.005
            and 3.
        speaker_pattern: file name without ``.wav``, in which ``<speaker>`` stands for the speaker, ``<n>`` for digits
            and any other ``<word>`` for any text. None takes `SPEAKER_PATTERN` where all files follow it.
        test_speakers: whose recordings are the test part.
        test_fraction: share of the recordings that is drawn as the test part.
        test_seed: of this draw.
    """

    front_end: str = MFCC
    sample_rate: int | None = None
    duration: float | None = None
    frame_step: float = 0.01
    frame_width: float = 0.025
    bands: int = 40
    coefficients: int = 13
    threshold: float | None = None
    speaker_pattern: str | None = None
    test_speakers: tuple[str, ...] = ()
    test_fraction: float | None = None
    test_seed: int = 0

    def __post_init__(self) -> None:
        if self.front_end not in FRONT_ENDS:
            raise BrfkitError(f"front end {self.front_end!r} is none of {', '.join(FRONT_ENDS)}")
        if self.front_end == MFCC and self.coefficients > self.bands:
            raise BrfkitError(f"{self.bands} bands have no {self.coefficients} coefficients; take more bands")
        if self.test_speakers and self.test_fraction is not None:
            raise BrfkitError("test speakers and a test fraction exclude each other; give one of them")
        if self.speaker_pattern is not None:
            self.speaker_expression()

    @property
    def spiking(self) -> bool:
        """Whether the front end gives spikes."""
        return self.front_end in SPIKING

    @property
    def level(self) -> float:
        """The threshold of a spiking front end."""
        return _THRESHOLDS[self.front_end] if self.threshold is None else self.threshold

    def channels(self) -> int:
        """How many channels the front end gives."""
        return {RAW: 1, MFCC: self.coefficients, LEVEL_CROSSING: 2 * self.bands}.get(self.front_end, self.bands)

    def step_seconds(self, rate: int) -> float:
        """Length of a step where recordings have `rate` samples per second."""
        return 1.0 / rate if self.front_end == RAW else self.frame_step

    def features(self) -> dict[str, str | float | int | None]:
        """What the features of a recording depend on."""
        names = ["front_end", "sample_rate"]
        if self.front_end != RAW:
            names += ["frame_step", "bands"]
        if self.front_end not in (RAW, COCHLEA):
            names.append("frame_width")
        found = {name: getattr(self, name) for name in names}
        if self.front_end == MFCC:
            found["coefficients"] = self.coefficients
        if self.spiking:
            found["level"] = self.level
        return found

    def speaker_expression(self) -> re.Pattern[str]:
        """The pattern of file names as a regular expression with a group ``speaker``.

        Raises:
            BrfkitError: it names no speaker, or something twice.
        """
        pattern = (self.speaker_pattern or SPEAKER_PATTERN).removesuffix(".wav")
        if pattern.count("<speaker>") != 1:
            raise BrfkitError(f"the pattern {pattern!r} must hold <speaker> once, as {SPEAKER_PATTERN!r} does")
        parts = re.split(r"(<\w+>)", pattern)
        known = {"<speaker>": "(?P<speaker>.+)", "<n>": r"\d+"}
        return re.compile(
            "".join(known.get(part, ".*") if part.startswith("<") and part.endswith(">") else re.escape(part)
                    for part in parts)
        )  # fmt: skip
