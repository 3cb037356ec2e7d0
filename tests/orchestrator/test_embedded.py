"""What keeps an embedded stack to itself: its folder and its ports."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.embedded import embedded_stack, locked
from orchestrator.observe.metrics import Metrics, exported
from orchestrator.runners.local import LocalRunner
from orchestrator.server import serving
from orchestrator.settings import Home, Settings
from services.artifacts import Store
from services.errors import BadOption, Conflict, NotFound, Unavailable


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held


def test_a_home_folder_has_one_stack(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with locked(home) as tell:
        tell("127.0.0.1:8000")
        with pytest.raises(Conflict, match=r"--server 127\.0\.0\.1:8000"), locked(home):
            pass
    with locked(home):
        pass


def test_a_home_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadOption, match="--home"):
        Home(tmp_path / "file" / "home").create()


def test_the_default_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("OMNIMATTE_HOME", raising=False)
    assert Home.default().path == tmp_path / "omnimatte"
    monkeypatch.setenv("OMNIMATTE_HOME", str(tmp_path / "mine"))
    assert Home.default().path == tmp_path / "mine"


async def test_a_profile_without_its_weights_names_the_command_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMNIMATTE_WEIGHTS", raising=False)
    with pytest.raises(NotFound, match=r"omnimatte weights pull cogvideox-fun"):
        async with embedded_stack(Home(tmp_path), profile="production"):
            pass
    assert Home(tmp_path).weights == tmp_path / "weights"
    assert not list(tmp_path.glob("triton-*"))


@pytest.mark.parametrize("flag", ["port", "metrics_port"])
async def test_a_port_in_use_stops_the_stack_before_it_starts(taken: socket.socket, flag: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=f"--{flag.replace('_', '-')}"):
        async with embedded_stack(Home(tmp_path), **{flag: taken.getsockname()[1]}):
            pass


@pytest.mark.parametrize("flag", ["port", "metrics_port"])
async def test_a_port_in_use_stops_the_server(taken: socket.socket, flag: str, tmp_path: Path) -> None:
    ports = {"port": 0, "metrics_port": 0, flag: taken.getsockname()[1]}
    settings = Settings(store=str(tmp_path / "s"), database_url=f"sqlite:///{tmp_path}/o.sqlite", **ports)
    runner = LocalRunner(Store(settings.store))
    with pytest.raises(Unavailable, match=f"--{flag.replace('_', '-')}"):
        async with serving(settings, runner):
            pass
    runner.close()


def test_figures_of_two_registries_do_not_mix() -> None:
    with exported(Metrics(), host="127.0.0.1", port=0) as one, exported(Metrics(), host="127.0.0.1", port=0) as two:
        assert one != two
