"""ONNX files compute what the networks compute, at every size they are meant for, and TensorRT can take them."""

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from services.engines import Engine
from services.engines.export.graph import TOLERANCE, Axis, Exportable, Input, export, inputs_of, largest_error, profile
from services.engines.tensorrt.cache import profile_of
from services.engines.tensorrt.graph import complaints
from services.errors import Internal


@pytest.mark.parametrize("step", [0, 1, 2])
def test_onnx_runtime_agrees_with_pytorch_at_other_sizes(exported: tuple[Exportable, Path], step: int) -> None:
    what, path = exported
    assert largest_error(what, path, step=step) < 0.1 * TOLERANCE


def test_names_are_the_promised_ones(exported: tuple[Exportable, Path]) -> None:
    what, path = exported
    engine = Engine(path)
    assert engine.input_names == tuple(part.name for part in what.inputs)
    assert engine.output_names == what.outputs
    inputs = [value.numpy() for value in inputs_of(what, step=0)]
    assert (engine(*inputs) == engine.run(*inputs)[0]).all()


def test_tensorrt_can_take_the_graph(exported: tuple[Exportable, Path]) -> None:
    assert complaints(exported[1]) == []


def test_the_shapes_to_build_for_travel_in_the_file(exported: tuple[Exportable, Path]) -> None:
    what, path = exported
    found = profile_of(path)
    assert {name: [list(s.least), list(s.usual), list(s.most)] for name, s in found.items()} == profile(what)
    assert set(found) == {part.name for part in what.inputs}


def test_the_file_knows_nothing_of_who_made_it(exported: tuple[Exportable, Path]) -> None:
    model = onnx.load(exported[1])
    assert all(not node.metadata_props and not node.doc_string for node in model.graph.node)
    assert [entry.key for entry in model.metadata_props] == ["omnimatte.profile"]


def test_a_graph_that_computes_something_else_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.engines.export.graph.largest_error", lambda what, path, *, step: 2 * TOLERANCE)
    path = tmp_path / "fickle.onnx"
    path.write_bytes(b"the old one")
    what = Exportable("fickle", nn.ReLU(), (Input("x", (2, 3)),), ("y",))
    with pytest.raises(Internal, match="fickle"):
        export(what, path)
    assert path.read_bytes() == b"the old one"


def test_every_free_axis_has_another_length() -> None:
    axes = (Axis("a", 1, 1, 99), Axis("b", 1, 1, 99), Axis("c", 16, 16, 999, multiple=16))
    what = Exportable("x", nn.Identity(), (Input("x", (*axes, 5)), Input("y", (axes[1],))), ("z",))
    for step in (1, 2):
        x, y = inputs_of(what, step=step)
        assert len(set(x.shape)) == 4 and x.shape[1] == y.shape[0] and x.shape[2] % 16 == 0
        assert torch.equal(x, inputs_of(what, step=step)[0])
