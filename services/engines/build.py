"""Prepares networks ahead of time: their ONNX files, TensorRT engines of this machine's GPU, a Triton repository.

    python -m services.engines.build [--network NAME]... [--backend tensorrt|onnxruntime] [--repository DIR]

`omnimatte engines build` runs this in a process of its own, because it needs torch where a network is exported.
Must not know: any network.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from services.engines.networks import Source, find
from services.engines.repository import BACKENDS, write_model
from services.engines.tensorrt import cache
from services.engines.tensorrt.graph import complaints
from services.errors import Internal, NotFound, OmnimatteError


def build(*, names: Sequence[str], backend: str, repository: Path | None) -> list[str]:
    """Prepare the networks `names`, or all whose weights are here; returns the names of those that were.

    Raises:
        BadOption: there is no such network.
        NotFound: the weights of a network that was named are not here.
        Internal: TensorRT would not take a graph, or did not.
        Unavailable: engines are asked for, and there is no GPU or no TensorRT; the graphs have been checked by then.
    """
    graphs = _graphs(find(names), named=bool(names))
    for name, graph in graphs.items():
        _check(name, graph)
    for name, graph in graphs.items():
        model = cache.plan(graph) if backend == "tensorrt" else graph
        _say(f"{name}: {backend}, {model}")
        if repository is not None:
            place = write_model(repository, name=name, graph=graph, model=model, backend=backend)
            _say(f"{name}: Triton model {place}")
    return list(graphs)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", action="append", default=[], metavar="NAME", dest="names")
    parser.add_argument("--backend", choices=tuple(BACKENDS), default="tensorrt")
    parser.add_argument("--repository", type=Path, metavar="DIR")
    given = parser.parse_args(arguments)
    # The exporter's remarks about its own insides help nobody here.
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    try:
        build(names=given.names, backend=given.backend, repository=given.repository)
    except OmnimatteError as error:
        print(f"omnimatte: {' '.join(error.message.split())}", file=sys.stderr)
        return error.exit_code
    return 0


def _graphs(chosen: Sequence[Source], *, named: bool) -> dict[str, Path]:
    """Network -> ONNX file; what was not asked for by name and is not here is left out, and said so."""
    found: dict[str, Path] = {}
    folder = cache.EngineCache().exports()
    for source in chosen:
        try:
            found[source.name] = source.file(folder)
        except NotFound as error:
            if named:
                raise
            _say(f"{source.name}: left out, {error.message}")
    return found


def _check(name: str, graph: Path) -> None:
    wrong = complaints(graph)
    if wrong:
        raise Internal(f"TensorRT cannot take the network {name} ({'; '.join(wrong)}); export it another way.")
    _say(f"{name}: {graph}, TensorRT can take it")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
