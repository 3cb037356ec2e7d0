"""Reading one JSON object field by field, with errors that say where in the spec they are.

Must not know: what the fields mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.errors import BadInput, BadOption


class Fields:
    """The fields of one JSON object, with errors that say where in it they are."""

    what = "the job"
    """What the whole is called."""

    def __init__(self, data: object, where: str, *names: str) -> None:
        self.where = where
        if not isinstance(data, Mapping):
            raise BadInput(f"{where or self.what} must be an object, not {type(data).__name__}.", field=where)
        unknown = sorted(str(name) for name in set(data) - set(names))
        if unknown:
            raise BadInput(
                f"{where or self.what} has an unknown field {unknown[0]!r}; the fields are {', '.join(names)}.",
                field=self.path(unknown[0]),
            )
        self._data = data

    def path(self, name: str) -> str:
        return f"{self.where}.{name}" if self.where else name

    def get(self, name: str, default: Any = None) -> Any:
        value = self._data.get(name)
        return default if value is None else value

    def items(self, name: str) -> Sequence[Any]:
        value = self.get(name, ())
        if not isinstance(value, list | tuple):
            raise BadInput(f"{self.path(name)} must be a list.", field=self.path(name))
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.get(name, default)
        if not isinstance(value, bool):
            raise BadInput(f"{self.path(name)} must be true or false, not {value!r}.", field=self.path(name))
        return value

    def integer(self, name: str, default: int, low: int, high: int, *, or_zero: bool = False) -> int:
        value = self.get(name, default)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if whole and (low <= value <= high or (or_zero and value == 0)):
            return int(value)
        raise BadOption(f"{name} is {value!r}; give a whole number from {low} to {high}.", field=self.path(name))

    def choice(self, name: str, default: str, values: Sequence[str]) -> str:
        value = self.get(name, default)
        if value not in values:
            raise BadOption(f"{name} is {value!r}; choose one of {', '.join(values)}.", field=self.path(name))
        return str(value)

    def text(self, name: str, default: str, *, limit: int) -> str:
        value = self.get(name, default)
        if not isinstance(value, str) or len(value) > limit:
            raise BadOption(f"{name} must be a text of at most {limit} characters.", field=self.path(name))
        return value
