"""Values by the thousand: whatever the chart's schema allows."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.helm.chart import defaults, schema

_SCHEMA = schema()
_DEFAULTS = defaults()
_FREE = {"type": "object"}


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = _SCHEMA["definitions"][node["$ref"].rpartition("/")[2]]
    return node


def strategy(node: dict[str, Any], default: Any = None) -> st.SearchStrategy[Any]:
    """What the schema `node` allows.

    default: what the chart has there. It fills in the keys that are left out; without one, what must be there is.
    """
    node = _resolved(node)
    if "anyOf" in node:
        return st.one_of([strategy(one) for one in node["anyOf"]])
    if "enum" in node:
        return st.sampled_from(node["enum"])
    kind = node["type"][0] if isinstance(node["type"], list) else node["type"]
    if kind == "object":
        return _object(node, default)
    if kind == "array":
        items = strategy(node["items"])
        unique = repr if node.get("uniqueItems") else None
        return st.lists(items, min_size=node.get("minItems", 0), max_size=2, unique_by=unique)
    if kind == "string":
        return _text(node)
    if kind == "boolean":
        return st.booleans()
    low = node.get("minimum", node.get("exclusiveMinimum", 0) + 1)
    if kind == "integer":
        return st.integers(low, min(node.get("maximum", low + 5000), low + 5000))
    return st.floats(low, low + 1000, allow_nan=False)


def _text(node: dict[str, Any]) -> st.SearchStrategy[str]:
    plain = st.text("abcxyz019-", max_size=12)
    if "pattern" not in node:
        return plain
    # Python's `$` allows a line's end after it, Go's does not.
    pattern = node["pattern"].replace("$", r"\Z") if node["pattern"].endswith("$") else node["pattern"]
    return st.from_regex(pattern, alphabet=st.characters(codec="ascii", categories=("L", "N", "P", "S")))


def _object(node: dict[str, Any], default: Any) -> st.SearchStrategy[dict[str, Any]]:
    if node.get("properties"):
        known = default if isinstance(default, dict) else {}
        inner = {
            name: strategy(one, known.get(name)) for name, one in node["properties"].items() if _resolved(one) != _FREE
        }
        needed = {name: inner[name] for name in node.get("required", ()) if name not in known}
        optional = {name: one for name, one in inner.items() if name not in needed}
        made = st.fixed_dictionaries(needed, optional=optional)
        return made.filter(bool) if node.get("minProperties") else made
    if isinstance(node.get("additionalProperties"), dict):
        names = _text(node.get("propertyNames", {}))
        return st.dictionaries(names, strategy(node["additionalProperties"]), max_size=2)
    return st.just({})


def parts() -> st.SearchStrategy[dict[str, Any]]:
    """Values under one or a few of the chart's topmost keys."""
    keys = sorted(set(_SCHEMA["properties"]) - {"global"})
    return st.sets(st.sampled_from(keys), min_size=1, max_size=3).flatmap(
        lambda chosen: st.fixed_dictionaries(
            {key: strategy(_SCHEMA["properties"][key], _DEFAULTS.get(key)) for key in sorted(chosen)}
        )
    )
