"""How large a clip or a folder of images may be, and the checks that run before anything of it is decoded.

The limits protect the service, not the method: frames are streamed, so length costs disk and time rather than
memory.
Must not know: how a file is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.errors import BadVideo


@dataclass(frozen=True)
class Limits:
    """Bounds on one upload; inclusive.

    Attributes:
        max_pixels: pixels in a frame. DCI 4K with some room (4096x2304).
        min_side: shortest side in pixels; below it no network of the chain has anything to look at.
        max_frames: frames in the clip (200 s at 25 fps).
        max_seconds: duration; catches files whose header promises hours before they are decoded.
        max_streams: streams in the container: pictures, sound, subtitles, data.
        max_image_bytes: size of one image file.
        max_members: entries in a tar of images, those included that are passed over.
        max_tar_bytes: what they hold, all together.
        max_name: characters in the name of one.
    """

    max_pixels: int = 4096 * 2304
    min_side: int = 16
    max_frames: int = 5000
    max_seconds: float = 1800.0
    max_streams: int = 64
    max_image_bytes: int = 256 << 20
    max_members: int = 10_000
    max_tar_bytes: int = 8 << 30
    max_name: int = 512


LIMITS = Limits()


def check_size(name: str, *, width: int, height: int, limits: Limits = LIMITS) -> None:
    """Raise BadVideo when a frame of `name` is too large or too small."""
    if width * height > limits.max_pixels:
        raise BadVideo(
            f"{name}: frames of {width}x{height} are larger than the limit of {limits.max_pixels} pixels (4096x2304);"
            " scale the video down and send it again."
        )
    if min(width, height) < limits.min_side:
        raise BadVideo(
            f"{name}: frames of {width}x{height} are too small; the shorter side must be at least"
            f" {limits.min_side} pixels."
        )


def check_length(name: str, *, frames: int = 0, seconds: float = 0.0, limits: Limits = LIMITS) -> None:
    """Raise BadVideo when `name` has too many frames or lasts too long; 0 stands for unknown."""
    if frames > limits.max_frames:
        raise BadVideo(
            f"{name}: more than {limits.max_frames} frames, which is the limit; cut the clip into shorter parts."
        )
    if seconds > limits.max_seconds:
        raise BadVideo(
            f"{name}: it lasts {seconds:.0f} s, more than the limit of {limits.max_seconds:.0f} s;"
            " cut the clip into shorter parts."
        )


def check_streams(name: str, count: int, *, limits: Limits = LIMITS) -> None:
    """Raise BadVideo when the container of `name` has too many streams."""
    if count > limits.max_streams:
        raise BadVideo(
            f"{name}: {count} streams in one file, more than the limit of {limits.max_streams}; export the video with"
            " pictures and sound only."
        )
