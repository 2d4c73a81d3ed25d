"""Single neurons: frequency response, stability, spectrogram."""
