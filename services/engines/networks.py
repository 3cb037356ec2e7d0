"""The feed-forward networks of the stages, by name, and the ONNX file of each.

Two are files of the package; the others are exported from weights, once for each weights file, into a folder. Torch and
what else a network needs is imported only when it is exported. Must not know: engines, or who runs the files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import services
from services.catalogue import digest_of, locate
from services.errors import BadOption
from services.models import STAGE_MODELS
from services.weights import file_digest

if TYPE_CHECKING:
    from services.engines.export.graph import Exportable

_PACKAGE = Path(services.__file__).parent
_EXPORT = 1
"""Raised whenever the same weights would give another file."""


@dataclass(frozen=True)
class Source:
    """One network.

    Attributes:
        name: what its stage opens it by.
        file: its ONNX file in this folder of exports, made if need be. Raises NotFound, with the command that gets
            them, if the weights are not on this machine.
    """

    name: str
    file: Callable[[Path], Path]


def sources() -> tuple[Source, ...]:
    """All networks; most of SAM 2.1's sizes will not be on one machine."""
    segmenters = [model.name for model in STAGE_MODELS if model.stage == "sam2" and model.name.startswith("sam2.1")]
    return (
        Source("ssr", lambda folder: _PACKAGE / "ssr" / "compact.onnx"),
        Source("depth", lambda folder: _PACKAGE / "depth" / "compact.onnx"),
        Source("casper", _casper),
        Source("depth-anything-v2-small", _depth_anything),
        *(Source(f"{name}-encoder", _sam2_encoder(name)) for name in segmenters),
    )


def find(names: Iterable[str]) -> tuple[Source, ...]:
    """The networks called `names`, or all. Raises BadOption for an unknown name."""
    known = {source.name: source for source in sources()}
    wanted = list(names)
    for name in wanted:
        if name not in known:
            raise BadOption(f"there is no network {name!r}; the networks are {', '.join(known)}.", field="network")
    return tuple(known[name] for name in wanted) or tuple(known.values())


def graph_of(name: str) -> Path:
    """The ONNX file of the network `name`, in this machine's folder of exports, made if need be. Raises as above."""
    from services.engines.tensorrt.cache import EngineCache

    return find([name])[0].file(EngineCache().exports())


def _casper(folder: Path) -> Path:
    weights = _PACKAGE / "casper" / "compact.safetensors"

    def network() -> Exportable:
        from services.casper.compact import load_network
        from services.engines.export.networks import compact_casper

        return compact_casper(load_network(weights))

    return _exported(folder, "casper", file_digest(weights), network)


def _depth_anything(folder: Path) -> Path:
    name = "depth-anything-v2-small"
    place, digest = locate(name), digest_of(name)

    def network() -> Exportable:
        from services.depth.large.depth_anything import load_network
        from services.engines.export.networks import depth_anything

        return depth_anything(load_network(place))

    return _exported(folder, name, digest, network)


def _sam2_encoder(name: str) -> Callable[[Path], Path]:
    def file(folder: Path) -> Path:
        place, digest = locate(name), digest_of(name)

        def network() -> Exportable:
            import torch

            from services.engines.export.networks import sam2_encoder
            from services.sam21.loading import load

            segmenter = load(place, variant=name, device=torch.device("cpu"), precision=torch.float32)
            return sam2_encoder(segmenter.encoder, side=segmenter.size)

        return _exported(folder, f"{name}-encoder", digest, network)

    return file


def _exported(folder: Path, name: str, digest: str, network: Callable[[], Exportable]) -> Path:
    """The file of these weights in `folder`, exported now if it is not there."""
    path = folder / f"{name}-{digest[:16]}-{_EXPORT}.onnx"
    if not path.is_file():
        from services.engines.export.graph import export

        fresh = path.with_name(f"{path.stem}.{os.getpid()}.onnx")
        export(network(), fresh)
        fresh.replace(path)
    return path
