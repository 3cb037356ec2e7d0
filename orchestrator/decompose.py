"""`omnimatte decompose`: a video in, a folder of layers out, on a server or on a stack of its own.

Everything that can be wrong with the command is found before anything is started, and the output folder appears only
when it is complete. Must not know: how arguments are written, or how a stack works inside.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator import masks
from orchestrator.access.credentials import Credentials
from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.client import FINAL_STATES, Client, error_of, require_empty
from orchestrator.display import Display, display
from orchestrator.settings import Home
from orchestrator.spec import from_dict
from orchestrator.wishes import ObjectWish
from services.errors import BadMask, BadVideo, Cancelled, Internal, OmnimatteError, Unavailable

_UNKNOWN = "0" * 64


@dataclass(frozen=True)
class Wish:
    """What the command line asks for.

    Attributes:
        video: the clip.
        objects: its objects.
        out: where the results go.
        preserve: mask of what no removal may change.
        options: as in orchestrator/spec.py.
        server: HOST:PORT of a running server; "" for a stack of our own.
        credentials: what that server is shown.
        home: the folder of that stack.
        force: whether `out` may be replaced.
        scheduling: as in orchestrator/timing.py.
        allow_partial: whether objects may be left without a layer.
    """

    video: Path
    objects: tuple[ObjectWish, ...]
    out: Path
    preserve: Path | None
    options: dict[str, Any]
    server: str
    credentials: Credentials
    home: Home
    force: bool
    scheduling: dict[str, Any] = field(default_factory=dict)
    allow_partial: bool = False


def decompose(wish: Wish) -> Path:
    """Fulfil `wish`; returns the results' folder.

    Ctrl-C cancels the job and stops the stack before it is raised again.

    Raises:
        OmnimatteError: what was wrong; `wish.out` is as it was before.
    """
    check(wish)
    with contextlib.ExitStack() as stack:
        shown = stack.enter_context(display(sys.stderr))
        client = stack.enter_context(_client(wish, shown))
        shown.note(f"sending {wish.video.name}")
        spec = _spec(wish, source=client.upload(wish.video), send=client.upload)
        job = client.create_job(spec)
        shown.note(f"{job.name} is queued")
        final = _followed(client, job, shown)
        with _replaced(wish) as out:
            client.download(final.name, out)
        shown.note(_summary(final))
        for failure in final.result.failures:
            shown.note(f"{failure.label} has no layer: {failure.error.message}")
    return wish.out


def check(wish: Wish) -> None:
    """Everything about the wish that can be known without reading a frame. Raises BadInput and its kinds."""
    _require_readable(wish.video, BadVideo, "the video")
    for item in wish.objects:
        if item.mask is not None:
            _require_readable(item.mask, BadMask, "the mask")
    if wish.preserve is not None:
        _require_readable(wish.preserve, BadMask, "the preserve mask")
    from_dict(_spec(wish, source={"digest": _UNKNOWN}, send=lambda _: {"digest": _UNKNOWN}))
    if not wish.force:
        require_empty(wish.out)


def _require_readable(path: Path, error: type[OmnimatteError], what: str) -> None:
    if not path.exists():
        raise error(f"{what} {path} is not there; check the path.")
    if path.is_dir():
        if error is BadVideo:
            raise error(f"{what} {path} is a folder; give a video file.")
        masks.images(path)
    elif path.stat().st_size == 0:
        raise error(f"{what} {path} is empty; give a file with content.")


def _spec(wish: Wish, *, source: dict[str, str], send: Any) -> dict[str, Any]:
    objects = []
    for item in wish.objects:
        place: dict[str, Any] = {"prompts": list(item.prompts)} if item.mask is None else {"mask": send(item.mask)}
        objects.append({"label": item.label, "layer": item.layer, **place})
    preserve = send(wish.preserve) if wish.preserve is not None else None
    return {
        "source": source,
        "objects": objects,
        "preserve": preserve,
        "options": wish.options,
        "scheduling": wish.scheduling,
        "allow_partial": wish.allow_partial,
    }


@contextlib.contextmanager
def _client(wish: Wish, shown: Display) -> Iterator[Client]:
    if wish.server:
        with Client(wish.server, credentials=wish.credentials) as client:
            yield client
        return
    from orchestrator.embedded import BackgroundStack
    from services.profiles import configured

    shown.note(f"starting the embedded stack in {wish.home.path}")
    profile = wish.options["profile"] or configured().name
    with BackgroundStack(wish.home, profile=profile) as stack, Client(stack.address) as client:
        try:
            yield client
        except Unavailable:
            reason = stack.died()
            if reason is not None:
                shown.note(f"the stack is broken: {reason.message}")
            raise


def _followed(client: Client, job: pb.Job, shown: Display) -> pb.Job:
    """The job when it has succeeded. Raises its error, or Cancelled."""
    final = job
    try:
        for event in client.watch(job.name):
            shown.show(event)
            if event.WhichOneof("event") == "job":
                final = event.job
    except KeyboardInterrupt:
        _cancelled(client, job.name, shown)
        raise
    if final.state == pb.Job.SUCCEEDED:
        return final
    if final.state == pb.Job.CANCELLED:
        raise Cancelled(f"{job.name} was cancelled; run the command again to resume from what is done.")
    raise error_of(final) or Internal(f"{job.name} ended without a state; look at the server's log.")


def _cancelled(client: Client, name: str, shown: Display) -> None:
    """Cancel the job and wait until its stages have stopped."""
    shown.note(f"stopping {name} (Ctrl-C again to leave at once)")
    with contextlib.suppress(OmnimatteError):
        client.cancel(name)
        for event in client.watch(name, after=client.get(name).sequence, patience=2):
            if event.WhichOneof("event") == "job" and event.job.state in FINAL_STATES:
                return


@contextlib.contextmanager
def _replaced(wish: Wish) -> Iterator[Path]:
    """The folder to write to: `wish.out`, what was there moved away, and back if writing fails."""
    if not (wish.force and (wish.out.exists() or wish.out.is_symlink())):
        yield wish.out
        return
    old = wish.out.with_name(f".{wish.out.absolute().name}.old")
    _remove(old)
    wish.out.rename(old)
    try:
        yield wish.out
    except BaseException:
        old.rename(wish.out)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _summary(job: pb.Job) -> str:
    result = job.result
    seconds = (job.end_time.ToNanoseconds() - job.start_time.ToNanoseconds()) / 1e9
    return (
        f"{result.frames} frames of {result.width}x{result.height} in {seconds:.0f} s; "
        f"the layers recompose the input at {result.recomposition_psnr:.1f} dB"
    )
