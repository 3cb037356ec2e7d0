"""A clip's sound: copied as it is, or re-coded only where a container cannot hold it.

Times are kept relative to the first video frame, so that sound stays in step whatever it is put beside.
Must not know: pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from services.errors import BadVideo
from services.video.source import open_container

# Codecs that a container takes as they are, and what anything else is turned into there.
_ANYWHERE = {"aac", "alac", "mp3", "mp2", "ac3", "eac3", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"}
_COPIES = {
    "webm": {"opus", "vorbis"},
    "mov": _ANYWHERE | {"pcm_s16be", "pcm_s24be"},
    "mp4": {"aac", "alac", "mp3", "ac3", "eac3"},
    "matroska": _ANYWHERE | {"flac", "opus", "vorbis", "dts", "truehd", "pcm_s16be", "pcm_s24be", "pcm_u8"},
}
_OTHERWISE = {"webm": ("libopus", 48000), "mp4": ("aac", 48000), "mov": ("pcm_s16le", None), "matroska": ("flac", None)}
_SOUND = "its sound is damaged or of an unknown kind; export the video again with AAC sound, or without any."


@dataclass(frozen=True)
class Sound:
    """Facts of an audio track: its codec in the clip, sample rate in Hz, channels."""

    codec: str
    rate: int
    channels: int

    def to_json(self) -> dict[str, object]:
        return {"codec": self.codec, "rate": self.rate, "channels": self.channels}


def extract(file: BinaryIO, name: str, target: Path | BinaryIO, *, origin: Fraction) -> Sound | None:
    """Copy the first audio stream of the video `file` into the Matroska file `target` (a path, or an open, empty file);
    None when there is none.

    origin: time of the first video frame in the file, in seconds; it becomes zero in `target`.
    Raises BadVideo when the sound cannot be read.
    """
    with open_container(file, name) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise BadVideo(f"{name}: {_SOUND}")
        sound = Sound(codec=stream.codec.name, rate=stream.rate or 0, channels=stream.channels)
        try:
            with av.open(str(target) if isinstance(target, Path) else target, "w", format="matroska") as output:
                track = Track(output, container, family="matroska", origin=origin)
                track.until(None)
        except (av.FFmpegError, ValueError, ArithmeticError) as error:
            raise BadVideo(f"{name}: {_SOUND}") from error
    return sound


class Track:
    """Sound of `source` written into `output`, as far as the pictures have come."""

    def __init__(
        self, output: OutputContainer, source: InputContainer, *, family: str, origin: Fraction = Fraction(0)
    ) -> None:
        """family: "webm", "mov", "mp4" or "matroska"; which codecs are copied follows from it."""
        self._output = output
        self._input: AudioStream = source.streams.audio[0]
        self._origin = origin
        self._stream: AudioStream
        if self._input.codec.name in _COPIES[family]:
            self._stream = output.add_stream_from_template(self._input)
            self._packets = self._copied(source)
        else:
            codec, rate = _OTHERWISE[family]
            layout = "stereo" if self._input.channels > 2 else self._input.layout.name
            rate = rate or self._input.rate
            self._stream = cast(AudioStream, output.add_stream(codec, rate=rate, layout=layout))
            self._packets = self._coded(source, layout=layout, rate=rate or 48000)
        self._waiting: av.Packet[AudioStream] | None = None

    def until(self, seconds: Fraction | None) -> None:
        """Write what begins before `seconds`; None: all that is left."""
        while True:
            packet = self._waiting or next(self._packets, None)
            self._waiting = None
            if packet is None:
                return
            if seconds is not None and packet.pts is not None and packet.pts * packet.time_base > seconds:
                self._waiting = packet
                return
            packet.stream = self._stream
            self._output.mux(packet)

    def _copied(self, source: InputContainer) -> Iterator[av.Packet[AudioStream]]:
        for packet in source.demux(self._input):
            if packet.size:
                shift = round(self._origin / packet.time_base)
                packet.pts = None if packet.pts is None else packet.pts - shift
                packet.dts = None if packet.dts is None else packet.dts - shift
                yield packet

    def _coded(self, source: InputContainer, *, layout: str, rate: int) -> Iterator[av.Packet[AudioStream]]:
        context = self._stream.codec_context
        context.open()
        resampler = av.AudioResampler(
            format=context.format, layout=layout, rate=rate, frame_size=context.frame_size or None
        )
        for frame in source.decode(self._input):
            if frame.pts is not None and frame.time_base:
                frame.pts -= round(self._origin / frame.time_base)
            for piece in resampler.resample(frame):
                yield from self._stream.encode(piece)
        for piece in resampler.resample(None):
            yield from self._stream.encode(piece)
        yield from self._stream.encode(None)
