"""Masks of one frame for somebody who points: the one thing that runs outside of a job, and beside the queue.

The first call for a source reads it, as its job would: the job then finds that done.
Must not know: gRPC, or how masks are found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.keep import Keeper
from orchestrator.plan import Node, plan, prompt_params
from orchestrator.runners.base import Runner
from orchestrator.spec import JobSpec
from services.artifacts import Artifact, Store
from services.errors import BadInput, BadPrompt
from services.stage import Progress, Request


@dataclass(frozen=True)
class MaskPreview:
    """An object's mask: `png`, 8 bit grey, 255 where the object is; `coverage`: the share of the frame, 0 to 1."""

    label: str
    png: bytes
    coverage: float


class Reader:
    """Runs the stage that reads a clip, and tells what it found."""

    def __init__(self, *, runner: Runner, keeper: Keeper, store: Store, made: Callable[[Node], str | None]) -> None:
        """`made(node)`: where the result of a node without inputs lies, if it was made before."""
        self._runner = runner
        self._keeper = keeper
        self._store = store
        self._made = made

    async def run(self, request: Request) -> Artifact:
        """The artifact of a request. Raises what its stage raises."""
        result = await self._runner.run(request, on_progress=_ignored)
        return await asyncio.to_thread(self._store.get, result.address)

    async def clip(self, spec: JobSpec) -> Artifact:
        """The source as the stages see it; its meta has frames, height and width."""
        ingest = plan(spec)[0]
        # The stage would find it too, but it may be busy with somebody's long clip.
        address = await asyncio.to_thread(self._made, ingest)
        if address is not None and await self._keeper.renew(address):
            return await asyncio.to_thread(self._store.get, address)
        return await self.run(ingest.request({}))


async def preview(spec: JobSpec, frame: int, *, reader: Reader) -> list[MaskPreview]:
    """The masks that the prompts on `frame` give, in the order of the objects.

    Args:
        spec: source, objects and options of a job; the caller has seen that the source is the tenant's.
    Raises:
        BadInput: an object has a mask file, or none of its prompts is on the frame.
    """
    if frame < 0:
        raise BadPrompt(f"the frame is {frame}; frames count from 0.", field="frame")
    for i, item in enumerate(spec.objects):
        if item.mask is not None:
            raise BadInput(
                f"object {item.label!r} has a mask file; only what is prompted can be previewed.",
                field=f"objects[{i}].mask",
            )
        if not any(prompt.frame == frame and prompt.positive for prompt in item.prompts):
            raise BadPrompt(
                f"object {item.label!r} has no box and no positive point on frame {frame}; add one.",
                field=f"objects[{i}].prompts",
            )
    clip = await reader.clip(spec)
    params = {**prompt_params(spec), "frame": frame}
    params["prompts"] = [prompt for prompt in params["prompts"] if prompt["frame"] == frame]
    found = await reader.run(Request("preview", params, {"video": clip.address}, subject=f"preview of frame {frame}"))
    labels = [item.label for item in spec.objects]
    return await asyncio.to_thread(_masks, found, labels)


def _masks(found: Artifact, labels: list[str]) -> list[MaskPreview]:
    coverage = dict(zip(found.meta["labels"], found.meta["coverage"], strict=True))
    return [MaskPreview(label, found.read(f"masks/{label}.png"), coverage[label]) for label in labels]


def _ignored(progress: Progress) -> None:
    pass
