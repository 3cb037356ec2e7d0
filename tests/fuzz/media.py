"""Damaged media files through the real stage: each is taken or refused with an error for its sender, and nothing else.

python -m tests.fuzz.media --count 2000 --seed 0
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import logging
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.artifacts import Store
from services.errors import BadInput, OmnimatteError
from services.ingest import reading
from services.ingest.stage import Ingest
from services.sandbox.allowance import Allowance
from services.sandbox.running import Broken
from services.stage import Request, execute
from tests.fuzz.mutations import mutate
from tests.fuzz.seeds import FRAMES, HEIGHT, WIDTH, Seed, seeds
from tests.services.clips import make_clip, moving_square

ROOT = Path(__file__).resolve().parents[2]
ALLOWANCE = Allowance(memory=2 << 30, cpu_seconds=30, silence=20.0, waiting=30.0, written=64 << 20)
"""Tighter than in service, because the files are small: what would take long there shows here."""


@dataclass
class Figures:
    """What became of the files.

    Attributes:
        outcomes: "taken", or the name of the error's class -> number of files.
        contained: how decoders ended that did not end by themselves ("crashed SIGSEGV", "memory", "slow") -> number.
        faults: what should never be: "<file>: <what came out>".
        longest: seconds of the slowest file, and its name.
    """

    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    contained: collections.Counter[str] = field(default_factory=collections.Counter)
    faults: list[str] = field(default_factory=list)
    longest: tuple[float, str] = (0.0, "")
    seconds: float = 0.0

    def report(self) -> str:
        lines = [
            f"files      {sum(self.outcomes.values())} in {self.seconds:.0f} s, the slowest {self.longest[0]:.2f} s"
            f" ({self.longest[1]})",
            *(f"{name:10} {count}" for name, count in self.outcomes.most_common()),
            f"contained  {sum(self.contained.values())} {dict(self.contained) or ''}",
            f"faults     {len(self.faults)}",
            *(f"  {fault}" for fault in self.faults),
        ]
        return "\n".join(lines)


class Bench:
    """A store with a small clip in it, and the stage that reads files."""

    def __init__(self, folder: Path) -> None:
        self._store = Store(str(folder / "store"))
        self._stage = Ingest(reading.sandbox(ALLOWANCE))
        clip = make_clip(folder / "clip.mkv", moving_square(FRAMES, HEIGHT, WIDTH))
        self._video = self._run("video", clip.read_bytes(), "clip.mkv")

    def feed(self, kind: str, data: bytes, name: str, figures: Figures) -> None:
        """Ingest `data`, and note what becomes of it."""
        began = time.monotonic()
        try:
            self._store.delete(self._run(kind, data, name))
            outcome = "taken"
        except OmnimatteError as error:
            outcome = type(error).__name__
            figures.faults += [f"{name}: {fault}" for fault in self._judge(error, name, figures)]
        except Exception as error:
            outcome = type(error).__name__
            figures.faults.append(f"{name}: {error!r}")
        figures.outcomes[outcome] += 1
        figures.longest = max(figures.longest, (time.monotonic() - began, name))

    def _run(self, kind: str, data: bytes, name: str) -> str:
        upload = self._store.upload([data], filename=name).address
        inputs = {"upload": upload} | ({"video": self._video} if kind == "mask" else {})
        params = {"kind": kind} | ({"label": "vase"} if kind == "mask" else {})
        try:
            return execute(self._stage, Request("ingest", params, inputs), self._store).address
        finally:
            self._store.delete(upload)

    @staticmethod
    def _judge(error: OmnimatteError, name: str, figures: Figures) -> Iterator[str]:
        """What is wrong with `error` as an answer to the sender of a damaged file."""
        if not isinstance(error, BadInput):
            yield f"{type(error).__name__}: {error.message}"
        if "Traceback" in error.message or "\n" in error.message or len(error.message) > 1000:
            yield f"not a sentence: {error.message!r}"
        if name not in error.message:
            yield f"does not name the file: {error.message!r}"
        broken = next((cause for cause in _causes(error) if isinstance(cause, Broken)), None)
        if broken is not None:
            figures.contained[broken.how if broken.how != "crashed" else f"crashed {broken.detail}"] += 1
        if broken is not None and broken.how == "failed":
            yield broken.detail
        if broken is not None and broken.how == "slow":
            yield f"hung: {broken.detail}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def files(found: Sequence[Seed], *, count: int, seed: int) -> Iterator[tuple[str, bytes, str]]:
    """`count` damaged files: what to ingest it as, its bytes, its name. File n is the same whatever `count` is."""
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        source = found[number % len(found)]
        data = mutate(source.data, rng, [other.data for other in found])
        yield rng.choice(source.kinds), data, f"{number}-{source.name}"


def run(*, count: int, seed: int, keep: Path | None = None, only: int | None = None) -> Figures:
    """Feed `count` files, or only number `only` of them; those with a fault are written to the folder `keep`."""
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        found = seeds(Path(folder), ROOT / "samples" / "still_life")
        bench = Bench(Path(folder))
        began = time.monotonic()
        for number, (kind, data, name) in enumerate(files(found, count=count, seed=seed)):
            if only is not None and number != only:
                continue
            faults = len(figures.faults)
            bench.feed(kind, data, name, figures)
            if keep is not None and len(figures.faults) > faults:
                (keep / name).write_bytes(data)
        figures.seconds = time.monotonic() - began
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that showed a fault")
    parser.add_argument("--only", type=int, help="the number of the one file to feed")
    options = parser.parse_args()
    logging.getLogger("services").setLevel(logging.CRITICAL)  # Each refusal is counted, not told.
    with contextlib.suppress(FileExistsError):
        if options.keep:
            options.keep.mkdir(parents=True)
    figures = run(count=options.count, seed=options.seed, keep=options.keep, only=options.only)
    print(figures.report())
    return 1 if figures.faults else 0


if __name__ == "__main__":
    sys.exit(main())
