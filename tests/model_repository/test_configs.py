"""The configurations that Triton reads."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from orchestrator.runners.triton import INSTANCES
from services.registry import STAGES

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"


def parsed(stage: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse((REPOSITORY / stage / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def test_every_stage_has_a_model_and_every_model_a_stage() -> None:
    assert {path.parent.name for path in REPOSITORY.glob("*/config.pbtxt")} == set(STAGES)
    assert {path.parents[1].name for path in REPOSITORY.glob("*/1/model.py")} == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_model_streams_events_for_a_request(stage: str) -> None:
    config = parsed(stage)
    assert config.name == stage
    assert config.backend == "python"
    assert config.model_transaction_policy.decoupled
    assert [(tensor.name, tensor.data_type) for tensor in config.input] == [("request", model_config_pb2.TYPE_UINT8)]
    assert [(tensor.name, tensor.data_type) for tensor in config.output] == [("event", model_config_pb2.TYPE_UINT8)]


@pytest.mark.parametrize("stage", STAGES)
def test_the_runner_sends_no_more_than_there_are_instances(stage: str) -> None:
    assert sum(group.count for group in parsed(stage).instance_group) == INSTANCES[stage]


@pytest.mark.parametrize("stage", STAGES)
def test_a_model_is_its_stage_on_the_shared_adapter(stage: str) -> None:
    source = (REPOSITORY / stage / "1" / "model.py").read_text()
    assert f'TritonPythonModel = stage_model("{stage}")' in source
