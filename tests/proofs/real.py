"""A small real job on the real stages: Triton with all its models, and a clip of two objects."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from orchestrator.client import Client
from orchestrator.triton_server import Ports, TritonServer

FRAMES, HEIGHT, WIDTH = 6, 64, 96


class Models:
    """A Triton on the project's models that comes back after it was killed, on the same ports."""

    def __init__(self, store: str, folder: Path) -> None:
        self._store, self._folder, self._ports = store, folder, Ports.free()
        self.server = self._started()

    def _started(self) -> TritonServer:
        server = TritonServer(store=self._store, folder=self._folder, ports=self._ports)
        server.start()
        return server

    @property
    def address(self) -> str:
        return self.server.grpc_address

    def instances(self) -> list[int]:
        """Process ids of the model instances."""
        return [
            int(path.name)
            for path in Path("/proc").glob("[0-9]*")
            if _parent(path) == self.server.pid and "python_backend_stub" in _command(path)
        ]

    def processor_seconds(self) -> float:
        """That all model instances have used so far."""
        ticks = 0
        for pid in self.instances():
            used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(used[11]) + int(used[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """Kill the server outright."""
        os.kill(self.server.pid, signal.SIGKILL)

    def kill_instance(self, stage: str) -> None:
        """Kill a process that runs `stage`: the guard then ends the server, as a pod would be restarted."""
        for pid in self.instances():
            if f"/{stage}/1/model.py" in _command(Path(f"/proc/{pid}")):
                os.kill(pid, signal.SIGKILL)
                return

    def back(self) -> None:
        """Start it again."""
        self.server.stop()
        self.server = self._started()


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@contextmanager
def models(store: str, folder: Path) -> Iterator[Models]:
    running = Models(store, folder)
    try:
        yield running
    finally:
        running.server.stop()


def upload_job(client: Client, *, long: bool = False) -> dict[str, Any]:
    """Upload the clip; returns the spec of a job of two objects with little work for each stage, or with much."""
    disc, box, video = _drawn()
    if long:
        disc, box, video = (
            np.repeat(np.repeat(np.tile(frames, (8, *[1] * (frames.ndim - 1))), 3, 1), 3, 2)
            for frames in (disc, box, video)
        )
    return {
        "source": client.upload([_coded(video)], filename="clip.mp4"),
        "objects": [
            {"label": "disc", "mask": client.upload([_coded(np.repeat(disc[..., None], 3, -1))], filename="disc.mp4")},
            {"label": "box", "mask": client.upload([_coded(np.repeat(box[..., None], 3, -1))], filename="box.mp4")},
        ],
        "options": {"schedule": "reference", "long_side": 288} if long else {"schedule": "draft", "long_side": 96},
    }


def _drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(60, 200, (8, 12, 3), np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    discs, boxes, frames = [], [], []
    for t in range(FRAMES):
        disc, box = np.zeros((2, HEIGHT, WIDTH), np.uint8)
        cv2.circle(disc, (22 + 3 * t, 30), 9, 255, -1)
        cv2.rectangle(box, (70 - 2 * t, 24), (82 - 2 * t, 46), 255, -1)
        frame = ground.copy()
        frame[disc > 0], frame[box > 0] = (230, 120, 30), (40, 60, 220)
        discs.append(disc)
        boxes.append(box)
        frames.append(frame)
    return np.stack(discs), np.stack(boxes), np.stack(frames)


def _coded(frames: np.ndarray) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("libx264rgb", rate=Fraction(24), options={"crf": "0"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "rgb24"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        out.mux(stream.encode())
    return file.getvalue()
