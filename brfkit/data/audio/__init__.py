"""Folders of recordings: WAV files, front ends that make channels or spikes of them, splits by speaker."""

from brfkit.data.audio.folder import load_folder
from brfkit.data.audio.settings import FRONT_ENDS, AudioSettings

__all__ = ["FRONT_ENDS", "AudioSettings", "load_folder"]
