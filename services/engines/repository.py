"""A Triton repository of networks for NVIDIA's container: one model with real tensors for each file.

    <folder>/network-<name>/config.pbtxt
    <folder>/network-<name>/1/model.onnx or model.plan

Everything in a configuration comes from the file: names and shapes from the graph, the batch and the shapes of the
warm-up from the shapes that it is meant for. Must not know: any network, or how plans are built.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from services.engines.shapes import Shape
from services.engines.signature import Signature, Tensor, model_name, signature

BACKENDS = {"tensorrt": "model.plan", "onnxruntime": "model.onnx"}
"""Backend of Triton -> what it calls a model's file."""

_QUEUE_MICROSECONDS = 2000
"""How long a request waits for others to share its batch: little beside the milliseconds of a run."""


def write_model(folder: Path, *, name: str, graph: Path, model: Path, backend: str) -> Path:
    """Write the model of the network `name`, replacing it; returns its folder.

    graph: the ONNX file that says what goes in and out. model: the file that the backend runs.
    """
    place = folder / model_name(name)
    (place / "1").mkdir(parents=True, exist_ok=True)
    (place / "config.pbtxt").write_text(config(name, signature(graph), backend=backend), encoding="utf-8")
    target = place / "1" / BACKENDS[backend]
    fresh = target.with_suffix(".part")
    shutil.copyfile(model, fresh)
    fresh.replace(target)
    return place


def config(name: str, made: Signature, *, backend: str) -> str:
    """The text of `config.pbtxt`."""
    most = min((shapes.most[0] for shapes in made.profile.values()), default=1)
    # TensorRT has nowhere else to run.
    kind = "KIND_GPU" if backend == "tensorrt" else "KIND_AUTO"
    parts = [
        f"# Written by `omnimatte engines build`: the network {name} with real tensors.",
        f'name: "{model_name(name)}"',
        f'backend: "{backend}"',
        f'default_model_filename: "{BACKENDS[backend]}"',
        f"max_batch_size: {most}",
        *(_tensor("input", part) for part in made.inputs),
        *(_tensor("output", part) for part in made.outputs),
        f"dynamic_batching {{ max_queue_delay_microseconds: {_QUEUE_MICROSECONDS} }}",
        f"instance_group [ {{ kind: {kind} count: 1 }} ]",
        *_warm_ups(made),
    ]
    return "\n".join(parts) + "\n"


def _tensor(role: str, part: Tensor) -> str:
    return f'{role} [ {{ name: "{part.name}" data_type: TYPE_FP32 dims: {_dims(part.shape[1:])} }} ]'


def _warm_ups(made: Signature) -> Iterator[str]:
    """At the least shapes, which starts quickly, and at the usual ones, so that no request pays for them."""
    for which in ("least", "usual") if made.profile else ():
        inputs = "\n".join(
            f'  inputs {{ key: "{part.name}" value: {{ data_type: TYPE_FP32 dims: '
            f"{_dims(_shape(made, part, which)[1:])} zero_data: true }} }}"
            for part in made.inputs
        )
        yield f'model_warmup [ {{\n  name: "{which}"\n  batch_size: 1\n{inputs}\n}} ]'


def _shape(made: Signature, part: Tensor, which: str) -> Shape:
    shape: Shape = getattr(made.profile[part.name], which)
    return shape


def _dims(shape: tuple[int | None, ...]) -> str:
    return f"[ {', '.join(str(-1 if length is None else length) for length in shape)} ]"
