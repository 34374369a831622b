"""Small video files, for tests and benchmarks."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_video(
    file: Path,
    frames: np.ndarray,
    sound: bool = False,
    rotated: int = 0,
    codec: str = "ffv1",
    pixel_format: str | None = None,
    rate: int = 25,
) -> Path:
    """A video of frames uint8 or uint16 [T,H,W,3 or 4], `rate` of them a second: without loss, if no codec is named.

    rotated: degrees that players turn it by.
    """
    with_alpha, deep = frames.shape[3] == 4, frames.dtype == np.uint16
    given = ("rgb", "rgba")[with_alpha] + (("24", "48le"), ("", "64le"))[with_alpha][deep]
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(rate))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixel_format or ("bgra" if with_alpha else "bgr0")
        if codec in ("libvpx", "libvpx-vp9") and with_alpha:
            stream.metadata["alpha_mode"] = "1"
            # VP8 has no alpha with frames that are not shown.
            stream.options = {"auto-alt-ref": "0"}
        if rotated:
            stream.set_display_rotation(rotated)
        voice = container.add_stream("flac", rate=48000, layout="mono") if sound else None
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=given)))
        container.mux(stream.encode(None))
        if voice is not None:
            tone = (9000 * np.sin(np.arange(48000 * len(frames) // rate) / 9)).astype(np.int16)[None]
            spoken = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
            spoken.sample_rate, spoken.pts = 48000, 0
            container.mux(voice.encode(spoken))
            container.mux(voice.encode(None))
    return file
