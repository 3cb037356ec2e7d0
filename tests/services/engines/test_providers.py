"""The device that runs the networks' files is one setting."""

import pytest

from services.engines.engine import Engine
from services.engines.providers import CPU, CUDA, PROVIDER_VARIABLE, TENSORRT, providers
from services.errors import BadOption, Unavailable
from tests.services.engines.test_engine import SHIPPED

ALL = (TENSORRT, CUDA, CPU)


def options() -> dict[str, object]:
    return {"some": "option"}


@pytest.mark.parametrize(
    ("setting", "available", "expected"),
    [
        ("cpu", ALL, (CPU,)),
        ("cuda", ALL, (CUDA, CPU)),
        ("tensorrt", ALL, ((TENSORRT, {"some": "option"}), CUDA, CPU)),
        ("auto", ALL, (CUDA, CPU)),
        ("auto", (CPU,), (CPU,)),
    ],
)
def test_a_setting_gives_providers(setting: str, available: tuple[str, ...], expected: tuple[object, ...]) -> None:
    assert providers(setting, available=available, tensorrt=options) == expected


@pytest.mark.parametrize("setting", ["cuda", "tensorrt"])
def test_a_device_that_is_not_there_is_an_error_not_a_slower_one(setting: str) -> None:
    with pytest.raises(Unavailable, match="a GPU is needed"):
        providers(setting, available=(CPU,), tensorrt=options)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(BadOption, match=r"'tpu'.*tensorrt"):
        providers("tpu", available=ALL, tensorrt=options)


def test_an_engine_follows_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROVIDER_VARIABLE, "auto")
    Engine(SHIPPED)
    monkeypatch.setenv(PROVIDER_VARIABLE, "fpga")
    with pytest.raises(BadOption, match="fpga"):
        Engine(SHIPPED)
