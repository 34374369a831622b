"""Video files: frames out of one, and into another one without loss. PyAV comes with ComfyUI."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

ENDINGS = (
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ts", ".webm",
    ".wmv",
)  # fmt: skip
# Decoders that read the alpha of a WebM or Matroska file, where FFmpeg's own do not.
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
# What results are written as: it takes most kinds of sound as they are.
ENDING = ".mkv"
# What the others are written as, without loss: by the type of a decoded sample.
PLAIN_SOUND = {"u8": "pcm_u8", "s16": "pcm_s16le", "s32": "pcm_s32le", "flt": "pcm_f32le", "dbl": "pcm_f64le"}


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a video.

    Attributes:
        pixels: RGB [H,W,3], or with the file's alpha [H,W,4], straight; uint8, or uint16 where the file has more than 8
            bits.
        time: in seconds.
    """

    pixels: np.ndarray
    time: Fraction

    def as_float(self) -> np.ndarray:
        """float32 [H,W,3 or 4] in 0..1."""
        return self.pixels.astype(np.float32) / np.float32(np.iinfo(self.pixels.dtype).max)


def is_video(name: Any) -> bool:
    return isinstance(name, str) and name.lower().endswith(ENDINGS)


def check_video(name: str, file: Path, alpha: bool = False) -> None:
    """Raises ValueError with a sentence for a file that is not a video.

    alpha: it must have alpha.
    """
    try:
        frame = next(read_frames(file))
    except ImportError:
        raise ValueError(f"{name}: reading a video needs a package: pip install av.") from None
    except (OSError, ValueError, StopIteration) as error:
        raise ValueError(f"{name} cannot be read as a video ({type(error).__name__}).") from None
    if alpha and frame.pixels.shape[2] < 4:
        raise ValueError(f"{name} has no alpha that shows the subject; add a column mask, or take a video with alpha.")


def count_frames(file: Path) -> int | None:
    """How many frames a file says that it has; None where it does not say."""
    import av

    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        if stream.frames:
            return stream.frames
        seconds = container.duration and container.duration / av.time_base
        return seconds and round(seconds * float(stream.average_rate or 0)) or None


def shape_lost(file: Path) -> str:
    """What to say of a video whose pixels are not square, as on DV and DVD, which PyAV cannot write. "" for others."""
    import av

    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        pixel, whole = stream.sample_aspect_ratio, stream.display_aspect_ratio
    if pixel in (None, 0, 1) or whole is None:
        return ""
    return (
        f"The video's pixels are not square, but {pixel.numerator}:{pixel.denominator}, which the result does not say: "
        f"convert it with ffmpeg's -aspect {whole.numerator}:{whole.denominator}."
    )


def rate_of(file: Path) -> Fraction | None:
    """How many frames a second a video has on average; None where it does not say."""
    import av

    with av.open(str(file)) as container:
        return container.streams.video[0].average_rate


def read_frames(file: Path) -> Iterator[Frame]:
    """The frames of a video, upright, one after another. Raises OSError or ValueError."""
    import av

    with av.open(str(file)) as container:
        if not container.streams.video:
            raise ValueError("there is no video in it")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = stream.average_rate or Fraction(24)
        for number, frame in enumerate(decoded(container, stream)):
            pixels = pixels_of(frame)
            # Phones store a clip as the sensor saw it, and how it is to be turned.
            turns = round(getattr(frame, "rotation", 0) / 90) % 4
            at = number / rate if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
            yield Frame(np.ascontiguousarray(np.rot90(pixels, turns)), Fraction(at))


def decoded(container: Any, stream: Any) -> Iterator[Any]:
    """The frames of a stream, with their alpha if it has any."""
    import av

    # A tag's name may be in capitals.
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    if tags.get("alpha_mode") != "1" or stream.codec_context.name not in ALPHA_DECODERS:
        yield from container.decode(stream)
        return
    decoder: Any = av.CodecContext.create(ALPHA_DECODERS[stream.codec_context.name], "r")
    for packet in container.demux(stream):
        yield from decoder.decode(packet)


def pixels_of(frame: Any) -> np.ndarray:
    """See `Frame`. A palette's alpha is not read."""
    deep = max(part.bits for part in frame.format.components) > 8
    depth = next((part.bits for part in frame.format.components if part.is_alpha), 0)
    if deep:
        # FFmpeg 8 gives wrong colors at odd widths with its usual interpolation of chroma, the linear one.
        interpolation = "BICUBIC" if frame.width % 2 else None
        pixels = frame.to_ndarray(format="rgba64le" if depth else "rgb48le", interpolation=interpolation)
    else:
        pixels = frame.to_ndarray(format="rgba" if depth else "rgb24")
    if 8 < depth < 16:
        # Alpha of 10 or 12 bits comes shifted to 16, so what is opaque would be below the highest value.
        most = (1 << depth) - 1
        levels = (pixels[..., 3] >> (16 - depth)).astype(np.uint32)
        pixels[..., 3] = (levels * 65535 + most // 2) // most
    return pixels


class VideoWriter:
    """Writes frames into a file without loss (FFV1), at their source's times, with its sound and its kind of colors.

    To be used in a `with` statement. file: its ending is ENDING. source: the video that the frames are of.
    """

    def __init__(self, file: Path, source: Path):
        import av

        self.container = av.open(str(file), "w")
        self.source = av.open(str(source))
        self.stream: Any = None
        self.sound: tuple[Any, Iterator[Any]] | None = None

    def __enter__(self) -> "VideoWriter":
        return self

    def started(self, pixels: np.ndarray) -> Any:
        """The stream of frames of the size and the depth of `pixels`, and that of the sound."""
        video = self.source.streams.video[0]
        stream = self.container.add_stream("ffv1", rate=video.average_rate or 24, options={"level": "3"})
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = "gbrp16le" if pixels.dtype == np.uint16 else "bgr0"
        if video.time_base:
            stream.codec_context.time_base = video.time_base
        # What colors the values mean: without it, players show those of HDR pale.
        stream.codec_context.color_primaries = video.codec_context.color_primaries
        stream.codec_context.color_trc = video.codec_context.color_trc
        for sound in self.source.streams.audio[:1]:
            self.sound = self.sound_of(sound)
        return stream

    def sound_of(self, sound: Any) -> tuple[Any, Iterator[Any]]:
        """The stream that a sound track is written into, and its packets."""
        try:
            stream = self.container.add_stream_from_template(sound)
        except ValueError:
            kind = PLAIN_SOUND[sound.format.packed.name]
            stream: Any = self.container.add_stream(kind, rate=sound.rate, layout=sound.layout.name)
            decoded = itertools.chain(self.source.decode(sound), [None])
            return stream, (packet for frame in decoded for packet in stream.encode(frame))
        return stream, (packet for packet in self.source.demux(sound) if packet.dts is not None)

    def write(self, frame: Frame) -> None:
        import av

        self.stream = self.stream or self.started(frame.pixels)
        self.write_sound(frame.time)
        deep = frame.pixels.dtype == np.uint16
        picture = av.VideoFrame.from_ndarray(frame.pixels, format="rgb48le" if deep else "rgb24")
        picture = picture.reformat(format=self.stream.pix_fmt)
        base = self.stream.codec_context.time_base
        picture.pts, picture.time_base = round(frame.time / base), base
        self.container.mux(self.stream.encode(picture))

    def write_sound(self, until: Fraction | None) -> None:
        """Writes the sound up to a time in seconds; all of it for None."""
        if self.sound is None:
            return
        stream, packets = self.sound
        for packet in packets:
            if until is not None and packet.dts * packet.time_base > until:
                self.sound = stream, itertools.chain([packet], packets)
                return
            packet.stream = stream
            self.container.mux(packet)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if kind is None and self.stream is not None:
            self.write_sound(None)
            self.container.mux(self.stream.encode(None))
        self.container.close()
        self.source.close()
