"""An orchestrator's settings as a file: YAML whose keys are the fields of the settings' dataclasses, one to one.

    store: s3://bucket/omnimatte
    running_jobs: 8
    access: {api_keys: true, tls: {certificate: tls.crt, key: tls.key}}
    models: {casper: casper.films.svc:8001, ...}
    shards: {namespace: films, template: worker-pod.yaml}

Everything that has a default may be left out; what nobody knows is refused. Secrets do not stand in it: the database's
URL, keys for the store and this replica's name come from the environment.
Must not know: what the settings do.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.runners.kubernetes.settings import Shards
from orchestrator.runners.tls import ModelTls
from orchestrator.scheduling.policies_file import read_policies
from orchestrator.scheduling.policy import Policies
from orchestrator.settings import EMBEDDED, Settings
from services.errors import BadOption
from services.registry import STAGES

_BESIDE = ("models", "models_tls", "stage_limits", "shards", "tenants")
_FROM_ENVIRONMENT = {
    "database_url": "OMNIMATTE_DATABASE_URL",
    "executor_id": "OMNIMATTE_EXECUTOR_ID",
    "store": "OMNIMATTE_STORE",
}


@dataclass(frozen=True)
class Deployment:
    """One orchestrator and what it works with.

    Attributes:
        models: stage -> HOST:PORT of its model servers; every address behind the name is one.
        stage_limits: stage -> its runs at once on one of them, where that is not what `model_repository` says.
        shards: how stage runs become Kubernetes Jobs; None: none do.
        models_tls: how the model servers and we prove who we are; None: in the clear.
    """

    settings: Settings
    models: Mapping[str, str]
    stage_limits: Mapping[str, int] = field(default_factory=dict)
    shards: Shards | None = None
    models_tls: ModelTls | None = None


def read_deployment(path: Path, environment: Mapping[str, str]) -> Deployment:
    """Raises BadOption: the file cannot be read, or says something that cannot be meant."""
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadOption(f"the settings {path} cannot be read: {error}; check the file.") from error
    if not isinstance(data, dict):
        raise BadOption(f"the settings {path} are no table of names and values.")
    for name, variable in _FROM_ENVIRONMENT.items():
        if environment.get(variable):
            data[name] = environment[variable]
    data.setdefault("executor_id", EMBEDDED)
    beside = {name: data.pop(name) for name in _BESIDE if name in data}
    tenants = beside.get("tenants")
    policies = read_policies(Path(_value(str, tenants, "tenants"))) if tenants else Policies()
    if "policies" in data:
        raise BadOption(f"{path}: `policies` stand in a file of their own, which `tenants` names.")
    models = _table(beside.get("models", {}), str, "models")
    shards, tls = beside.get("shards"), beside.get("models_tls")
    return Deployment(
        settings=_built(Settings, {**data, "policies": policies}, ""),
        models=models,
        stage_limits=_table(beside.get("stage_limits", {}), int, "stage_limits"),
        shards=_built(Shards, shards, "shards") if shards is not None else None,
        models_tls=_built(ModelTls, tls, "models_tls") if tls is not None else None,
    )


def _table(data: Any, kind: type, where: str) -> dict[str, Any]:
    """Values by stage."""
    if not isinstance(data, dict):
        raise BadOption(f"{where} must be a table of stages.")
    for stage in data:
        if stage not in STAGES:
            raise BadOption(f"{where}.{stage}: there is no such stage; they are {', '.join(STAGES)}.")
    return {stage: _value(kind, value, f"{where}.{stage}") for stage, value in data.items()}


def _built(cls: type, data: Any, where: str) -> Any:
    """The dataclass, from a table of its fields."""
    if not isinstance(data, dict):
        raise BadOption(f"{where} must be a table; its names are {', '.join(one.name for one in fields(cls))}.")
    kinds = typing.get_type_hints(cls)
    known = {one.name: one for one in fields(cls)}
    for name in data:
        if name not in known:
            raise BadOption(f"{_at(where, name)} is not known; there are {', '.join(sorted(known))}.")
    for name, one in known.items():
        if name not in data and one.default is MISSING and one.default_factory is MISSING:
            variable = _FROM_ENVIRONMENT.get(name) if not where else None
            hint = f" (or set {variable})" if variable else ""
            raise BadOption(f"{_at(where, name)} is missing; give it{hint}.")
    return cls(**{name: _value(kinds[name], value, _at(where, name)) for name, value in data.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    """`value` as a field of type `kind`. Raises BadOption if it is none."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        inner = next(one for one in arguments if one is not type(None))
        return None if value is None else _value(inner, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise BadOption(f"{where} must be a list, not {value!r}.")
        return tuple(_value(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if isinstance(kind, type) and isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    if is_dataclass(kind):
        return _built(typing.cast(type, kind), value, where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
    raise BadOption(f"{where} is {value!r}; it must be {names.get(kind, str(kind))}.")


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
