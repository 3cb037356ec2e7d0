"""What each tenant may have, as an operator writes it down: a TOML file.

    [default]
    running = 2

    [tenants.studio]
    weight = 4.0
    running = 8
    pending = 20000

A tenant that is not named has the default's; what a table does not say, it takes from the default.
Must not know: what the figures do.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from orchestrator.access.caller import is_tenant
from orchestrator.scheduling.policy import Policies, Policy
from services.errors import BadOption

_NAMES = tuple(field.name for field in fields(Policy))


def read_policies(path: Path) -> Policies:
    """Raises BadOption: the file cannot be read, or says something that cannot be meant."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadOption(f"the tenants' file {path} cannot be read ({error.strerror}); check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadOption(f"the tenants' file {path} is not TOML ({error}); see docs/operations.md.") from error
    unknown = set(data) - {"default", "tenants"}
    if unknown:
        raise BadOption(f"{path}: {sorted(unknown)[0]!r} is no table; there are [default] and [tenants.NAME].")
    default = _policy(data.get("default", {}), Policy(), where=f"{path}: default")
    tenants = data.get("tenants", {})
    if not isinstance(tenants, dict):
        raise BadOption(f"{path}: tenants must be tables, such as [tenants.studio].")
    chosen = {}
    for name, table in tenants.items():
        if not is_tenant(name):
            raise BadOption(f"{path}: {name!r} names no tenant; take letters, digits, '.', - and _.")
        chosen[name] = _policy(table, default, where=f"{path}: tenants.{name}")
    return Policies(default=default, tenants=chosen)


def _policy(table: Any, base: Policy, *, where: str) -> Policy:
    if not isinstance(table, dict) or set(table) - set(_NAMES):
        raise BadOption(f"{where} must be a table of {', '.join(_NAMES)}.")
    weight = table.get("weight", base.weight)
    if not _number(weight) or not math.isfinite(weight) or not 0.001 <= weight <= 1000:
        raise BadOption(f"{where}.weight is {weight!r}; give a number from 0.001 to 1000.")
    for name in ("running", "pending"):
        value = table.get(name, getattr(base, name))
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise BadOption(f"{where}.{name} is {value!r}; give a whole number from 0 on.")
    return replace(base, **{**table, "weight": float(weight)})


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
