"""Networks as ONNX files: they load, take any size, repeat themselves, and say what is wrong otherwise."""

from pathlib import Path

import numpy as np
import pytest

from services.engines.engine import THREADS_VARIABLE, Engine, threads
from services.errors import Internal, Unavailable

SHIPPED = Path(__file__).resolve().parents[3] / "services" / "depth" / "compact.onnx"


def test_sizes_may_change_from_call_to_call() -> None:
    engine = Engine(SHIPPED)
    for batch, height, width in ((1, 32, 48), (2, 16, 16), (1, 128, 224)):
        assert engine(np.zeros((batch, 6, height, width), np.float32)).shape == (batch, 1, height, width)


def test_the_same_input_gives_the_same_output() -> None:
    guide = np.random.default_rng(0).random((1, 6, 64, 64), np.float32)
    assert np.array_equal(Engine(SHIPPED)(guide), Engine(SHIPPED)(guide))


def test_a_transposed_float64_input_is_taken() -> None:
    engine = Engine(SHIPPED)
    guide = np.random.default_rng(0).random((1, 32, 32, 6))
    turned = guide.transpose(0, 3, 1, 2)
    assert np.array_equal(engine(turned), engine(np.ascontiguousarray(turned, np.float32)))  # type: ignore[arg-type]


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"lost\.onnx"):
        Engine(tmp_path / "lost.onnx")


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a graph")
    with pytest.raises(Internal, match=r"broken\.onnx"):
        Engine(path)


@pytest.mark.parametrize(("value", "expected"), [("4", 4), ("0", 1), ("many", 1)])
def test_threads_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, value: str, expected: int) -> None:
    monkeypatch.setenv(THREADS_VARIABLE, value)
    assert threads() == expected


def test_one_thread_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    assert threads() == 1
