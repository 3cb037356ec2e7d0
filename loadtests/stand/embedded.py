"""The embedded stack, `omnimatte up`, as a target. Must not know: what is sent to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from loadtests.stand.child import Child
from loadtests.stand.target import Target, wait_serving
from orchestrator.runners.triton import INSTANCES
from orchestrator.settings import Home, Settings
from orchestrator.triton_server import free_port
from services.errors import Unavailable


@contextmanager
def embedded(folder: Path, *, environment: Mapping[str, str] | None = None) -> Iterator[Target]:
    """The stack that a newcomer has, for the length of the block; everything that it writes is in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    home, port, metrics = Home((folder / "home").absolute()), free_port(), free_port()
    arguments = ["-m", "orchestrator.cli", "up", "--home", str(home.path), "--port", str(port)]
    arguments += ["--metrics-port", str(metrics)]
    with Child("stack", arguments, logs=folder, environment=environment) as child:
        address = f"127.0.0.1:{port}"
        wait_serving(address, seconds=180, alive=lambda: child.process.poll() is None)
        settings = Settings(store=home.store, database_url=home.database_url)
        yield Target(
            name="embedded",
            addresses=[address],
            metrics=[f"http://127.0.0.1:{metrics}/metrics"],
            models=[f"127.0.0.1:{_triton_port(home)}"],
            processes=lambda: _processes(child.process.pid),
            store=Path(home.store),
            database=home.path / "orchestrator.sqlite",
            capacity={
                "running_jobs": settings.running_jobs,
                "running_stages": settings.running_stages,
                "places": dict(INSTANCES),
                "gpus": 0,
            },
            real=True,
        )


def _triton_port(home: Home) -> int:
    """Of its gRPC API: the server names its folder by it."""
    for found in home.path.glob("triton-*"):
        return int(found.name.removeprefix("triton-"))
    raise Unavailable(f"no model server runs in {home.path}.")


def _processes(pid: int) -> Mapping[str, Sequence[int]]:
    """The orchestrator, and all that it has started: Triton and its model instances."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    found, todo = list[int](), [pid]
    while todo:
        todo += children.get(one := todo.pop(), [])
        found.append(one)
    return {"orchestrator": [pid], "models": found[1:]}
