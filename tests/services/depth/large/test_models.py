"""Files of large models."""

from pathlib import Path

from services import models as catalogued
from services.depth.large import models


def test_every_catalogued_depth_model_can_be_loaded() -> None:
    assert set(models.MODELS) == {model.name for model in catalogued.STAGE_MODELS if model.stage == "depth"}


def test_the_half_precision_file_is_taken_where_it_is_there(tmp_path: Path) -> None:
    assert models.tensors_of(tmp_path, "model").name == "model.safetensors"
    (tmp_path / "model.fp16.safetensors").touch()
    assert models.tensors_of(tmp_path, "model").name == "model.fp16.safetensors"
