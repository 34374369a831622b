"""Small video files, for tests and benchmarks."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_video(file: Path, frames: np.ndarray, sound: bool = False, rotated: int = 0) -> Path:
    """A lossless video of frames uint8 [T,H,W,3], 25 of them a second. rotated: degrees that players turn it by."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(25))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0"
        if rotated:
            stream.set_display_rotation(rotated)
        voice = container.add_stream("flac", rate=48000, layout="mono") if sound else None
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))
        if voice is not None:
            tone = (9000 * np.sin(np.arange(48000 * len(frames) // 25) / 9)).astype(np.int16)[None]
            spoken = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
            spoken.sample_rate, spoken.pts = 48000, 0
            container.mux(voice.encode(spoken))
            container.mux(voice.encode(None))
    return file
