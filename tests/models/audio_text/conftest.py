import numpy as np
import pytest


def tone(hertz: float, seconds: float, rate: int) -> np.ndarray:
    """A sawtooth that fades in."""
    time = np.arange(round(seconds * rate)) / rate
    return (0.4 * (time * hertz % 1 - 0.5) * np.minimum(time + 0.1, 1)).astype(np.float32)


@pytest.fixture(scope="session")
def tones():
    """Waveforms and rates: 1 s, 10 s, 30 s, another rate, a single sample, nothing at all."""
    waveforms = [tone(220, 1, 48000), tone(330, 10, 48000), tone(90, 30, 48000), tone(500, 3, 44100)]
    return [*waveforms, np.full(1, 0.5, np.float32), np.zeros(0, np.float32)], [48000, 48000, 48000, 44100, 48000, 8000]
