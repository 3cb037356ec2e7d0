"""What a run sends: a TOML file, checked before anything starts.

    name = "steady"
    duration_seconds = 120
    [arrivals]    process = "poisson", rate = 0.5
    [limits]      requests = 500
    [kinds.short] weight = 3, objects = 2, frames = 24
    [tenants.films] weight = 2
    [share]       interactive = 0.7, preview = 0.1, cancel = 0.05, download = 0.5
    [stand]       nodes = 2, scale = 0.1, where it is sent to fakes (loadtests/stand/settings.py)

Must not know: how it is sent, and to whom.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from loadtests.arrivals import Arrivals, Burst, Diurnal, Poisson, Replay
from loadtests.stand.settings import StandSettings
from services.errors import BadOption

SCENARIOS = Path(__file__).with_name("scenarios")
LONGEST_SECONDS = 24 * 3600.0
MOST_REQUESTS = 200_000
_PROCESSES: Mapping[str, type[Any]] = {"poisson": Poisson, "diurnal": Diurnal, "burst": Burst, "replay": Replay}


@dataclass(frozen=True)
class Kind:
    """Clips of one kind. weight: how often, relative to the other kinds."""

    weight: float = 1.0
    objects: int = 2
    frames: int = 24


@dataclass(frozen=True)
class Tenant:
    """One who sends. weight: how much, relative to the others. share: its weight in the service's queue. running,
    pending: its limits there; 0 for those that the service has."""

    weight: float = 1.0
    share: float = 1.0
    running: int = 0
    pending: int = 0


@dataclass(frozen=True)
class Share:
    """Parts of the requests, 0 to 1: jobs of class interactive, previews (in place of a job), jobs that are cancelled,
    and jobs whose result is downloaded."""

    interactive: float = 1.0
    preview: float = 0.0
    cancel: float = 0.0
    download: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """A run.

    Attributes:
        duration: seconds in which requests arrive. drain: seconds that are waited for the jobs' ends after that.
        requests: no more are sent, whatever the arrivals say.
        cleanup: whether jobs are deleted when they have ended.
        target: that it is made for: "fakes", "embedded" or HOST:PORT. stand: of fakes.
        chaos: what is done to the stand meanwhile, see loadtests/chaos.py.
    """

    name: str
    duration: float
    arrivals: Arrivals
    kinds: Mapping[str, Kind]
    tenants: Mapping[str, Tenant] = field(default_factory=lambda: {"load": Tenant()})
    share: Share = Share()
    requests: int = 5000
    drain: float = 300.0
    seed: int = 0
    cleanup: bool = False
    target: str = "fakes"
    stand: StandSettings = field(default_factory=StandSettings)
    chaos: Sequence[Mapping[str, Any]] = ()


def read_scenario(name: str) -> Scenario:
    """The scenario of that name in `loadtests/scenarios`, or in the file `name`.

    Raises:
        BadOption: it is not there, or says something that cannot be meant.
    """
    path = Path(name) if name.endswith(".toml") else SCENARIOS / f"{name}.toml"
    try:
        return scenario_of(tomllib.loads(path.read_text()), folder=path.parent)
    except OSError as error:
        known = ", ".join(sorted(one.stem for one in SCENARIOS.glob("*.toml")))
        raise BadOption(f"the scenario {name!r} cannot be read ({error.strerror}); known ones: {known}.") from error
    except tomllib.TOMLDecodeError as error:
        raise BadOption(f"the scenario {path} is no TOML: {error}.") from error


def scenario_of(data: Mapping[str, Any], *, folder: Path = SCENARIOS) -> Scenario:
    """See `read_scenario`. folder: where a trace is looked for."""
    rest = dict(data)
    limits = _table(rest, "limits")
    kinds = {name: _made(Kind, one, f"kinds.{name}") for name, one in _table(rest, "kinds").items()}
    tenants = {name: _made(Tenant, one, f"tenants.{name}") for name, one in _table(rest, "tenants").items()}
    scenario = Scenario(
        name=str(rest.pop("name", "")),
        duration=_number(rest.pop("duration_seconds", 0), "duration_seconds", low=1, high=LONGEST_SECONDS),
        arrivals=_arrivals(_table(rest, "arrivals"), folder),
        kinds=kinds,
        tenants=tenants or {"load": Tenant()},
        share=_made(Share, _table(rest, "share"), "share"),
        requests=int(_number(limits.pop("requests", 5000), "limits.requests", low=1, high=MOST_REQUESTS)),
        drain=_number(limits.pop("drain_seconds", 300), "limits.drain_seconds", low=0, high=LONGEST_SECONDS),
        seed=int(_number(rest.pop("seed", 0), "seed", low=0, high=2**31)),
        cleanup=bool(rest.pop("cleanup", False)),
        target=str(rest.pop("target", "fakes")),
        chaos=tuple(rest.pop("chaos", ())),
        stand=_made(StandSettings, _table(rest, "stand"), "stand"),
    )
    unknown = [*rest, *(f"limits.{name}" for name in limits)]
    if unknown:
        raise BadOption(f"a scenario has no {', '.join(unknown)}; see loadtests/scenario.py.")
    _require_sense(scenario)
    return scenario


def _require_sense(scenario: Scenario) -> None:
    if not scenario.name:
        raise BadOption("the scenario has no name.", field="name")
    if not scenario.kinds or sum(kind.weight for kind in scenario.kinds.values()) <= 0:
        raise BadOption("the scenario has no kind of clip to send; add a table [kinds.NAME].", field="kinds")
    for name, kind in scenario.kinds.items():
        if not 1 <= kind.objects <= 16 or not 1 <= kind.frames <= 10_000:
            raise BadOption(f"kinds.{name}: objects must be 1 to 16, and frames 1 to 10,000.", field=f"kinds.{name}")
    for entry in fields(Share):
        if not 0 <= getattr(scenario.share, entry.name) <= 1:
            raise BadOption(f"share.{entry.name} must be 0 to 1.", field=f"share.{entry.name}")


def _arrivals(data: dict[str, Any], folder: Path) -> Arrivals:
    process = str(data.pop("process", ""))
    if process not in _PROCESSES:
        raise BadOption(f"arrivals.process is {process!r}; choose one of {', '.join(_PROCESSES)}.")
    if process == "replay":
        data["path"] = folder / str(data.get("path", ""))
        return Replay(path=data["path"], speed=_number(data.get("speed", 1.0), "arrivals.speed", low=1e-6, high=1e6))
    made: Arrivals = _made(_PROCESSES[process], data, "arrivals")
    for name in vars(made):
        _number(getattr(made, name), f"arrivals.{name}", low=0, high=1e6)
    return made


def _made(kind: type[Any], data: object, name: str) -> Any:
    known = {entry.name: entry for entry in fields(kind)}
    if not isinstance(data, dict) or not set(data) <= set(known):
        raise BadOption(f"{name} may hold {', '.join(known)}, and nothing else.", field=name)
    try:
        return kind(**{key: _as(known[key].type, value, f"{name}.{key}") for key, value in data.items()})
    except TypeError as error:
        raise BadOption(f"{name} is incomplete; it holds {', '.join(known)}.", field=name) from error


def _as(kind: object, value: object, name: str) -> Any:
    if kind == "str":
        return str(value)
    if kind == "Mapping[str, int]":
        return {key: int(_number(one, f"{name}.{key}", low=1, high=1000)) for key, one in dict(value).items()}  # type: ignore
    number = _number(value, name, low=0, high=1e9)
    return int(number) if kind == "int" else number


def _number(value: object, name: str, *, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadOption(f"{name} is {value!r}; give a number from {low:g} to {high:g}.", field=name)
    return float(value)


def _table(data: dict[str, Any], name: str) -> dict[str, Any]:
    found = data.pop(name, {})
    if not isinstance(found, dict):
        raise BadOption(f"{name} must be a table.", field=name)
    return dict(found)
