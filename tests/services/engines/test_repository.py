"""The repository for NVIDIA's container, and the command that prepares networks; no GPU is needed for these tests."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from services.engines import build, networks
from services.engines.export.graph import Exportable
from services.engines.repository import BACKENDS, config, write_model
from services.engines.signature import signature
from services.errors import BadOption, Internal, NotFound, Unavailable
from tests.services.engines.test_engine import SHIPPED

BATCH_MODE = model_config_pb2.ModelInstanceGroup


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNIMATTE_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setenv("OMNIMATTE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi, whatever the machine


def parsed(text: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_network_is_a_model_with_real_tensors(exported: tuple[Exportable, Path], backend: str) -> None:
    what, path = exported
    made = signature(path)
    found = parsed(config("some", made, backend=backend))
    assert (found.name, found.backend) == ("network-some", backend)
    assert found.default_model_filename == BACKENDS[backend]
    assert [part.name for part in found.input] == [part.name for part in what.inputs]
    assert [part.name for part in found.output] == list(what.outputs)
    assert all(part.data_type == model_config_pb2.TYPE_FP32 for part in [*found.input, *found.output])
    for given, part in zip(found.input, what.inputs, strict=True):
        assert list(given.dims) == [length if isinstance(length, int) else -1 for length in part.shape[1:]]
        assert len(given.dims) >= 1
    assert found.max_batch_size == made.profile[what.inputs[0].name].most[0]
    assert found.dynamic_batching.max_queue_delay_microseconds > 0
    kinds = [group.kind for group in found.instance_group]
    assert kinds == [BATCH_MODE.KIND_GPU if backend == "tensorrt" else BATCH_MODE.KIND_AUTO]


def test_a_model_is_warm_before_the_first_request() -> None:
    found = parsed(config("depth", signature(SHIPPED), backend="onnxruntime"))
    assert [(one.name, one.batch_size) for one in found.model_warmup] == [("least", 1), ("usual", 1)]
    assert [list(one.inputs["guide"].dims) for one in found.model_warmup] == [[6, 32, 32], [6, 128, 224]]
    assert all(one.inputs["guide"].zero_data for one in found.model_warmup)


def test_a_model_lies_where_triton_looks_and_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "m.plan").write_bytes(b"plan")
    for _ in range(2):
        place = write_model(tmp_path, name="depth", graph=SHIPPED, model=tmp_path / "m.plan", backend="tensorrt")
        assert sorted(path.relative_to(place).as_posix() for path in place.rglob("*")) == [
            "1",
            "1/model.plan",
            "config.pbtxt",
        ]
    assert (place / "1" / "model.plan").read_bytes() == b"plan" and place.name == "network-depth"


def test_named_networks_are_built_for_the_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repository = tmp_path / "models"
    asked = ["--network", "ssr", "--network", "depth", "--backend", "onnxruntime", "--repository", str(repository)]
    assert build.main(asked) == 0
    for name in ("ssr", "depth"):
        content = (repository / f"network-{name}" / "1" / "model.onnx").read_bytes()
        assert content == (SHIPPED.parents[1] / name / "compact.onnx").read_bytes()
        assert f"{name}: Triton model" in capsys.readouterr().out or name == "depth"


def test_without_a_gpu_the_graphs_are_checked_and_a_gpu_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--network", "ssr"]) == Unavailable.exit_code
    told = capsys.readouterr()
    assert "ssr: " in told.out and "TensorRT can take it" in told.out
    assert "needs an NVIDIA GPU" in told.err


def test_a_graph_that_tensorrt_cannot_take_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "complaints", lambda graph: ["n: operator Unique is not supported"])
    with pytest.raises(Internal, match=r"ssr.*operator Unique"):
        build.build(names=["ssr"], backend="onnxruntime", repository=None)


def test_unknown_and_missing_networks_are_named() -> None:
    with pytest.raises(BadOption, match=r"'sssr'.*depth"):
        networks.find(["sssr"])
    with pytest.raises(NotFound, match="weights pull"):
        build.build(names=["depth-anything-v2-small"], backend="onnxruntime", repository=None)


def test_what_is_not_here_is_left_out_unless_it_was_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = [source for source in networks.sources() if source.name != "casper"]  # its export takes a minute
    monkeypatch.setattr(build, "find", lambda names: small)
    assert build.build(names=[], backend="onnxruntime", repository=None) == ["ssr", "depth"]
    assert "sam2.1-large-encoder: left out" in capsys.readouterr().out


def test_an_export_is_made_once_for_the_same_weights(
    exported: tuple[Exportable, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def export(what: Exportable, path: Path) -> None:
        made.append(what.name)
        path.write_bytes(b"graph")

    monkeypatch.setattr("services.engines.export.graph.export", export)
    files = {networks._exported(tmp_path, "x", digest, lambda: exported[0]) for digest in ("a", "a", "b")}
    assert len(files) == 2 and len(made) == 2 and all(file.read_bytes() == b"graph" for file in files)
