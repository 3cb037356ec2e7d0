"""The chart as the tests see it: rendered by Helm itself, without a cluster."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import jsonschema
import referencing
import referencing.jsonschema
import yaml
from kubernetes_validate import utils

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "omnimatte"
EXAMPLES = sorted(path.stem for path in (CHART / "values").glob("*.yaml"))
RELEASE, NAMESPACE = "demo", "video"
NAME = f"{RELEASE}-omnimatte"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where it is there: ten times as fast."""
KUBERNETES = ("1.31", "1.34", "1.36")
CUSTOM = {"keda.sh/v1alpha1", "cert-manager.io/v1", "monitoring.coreos.com/v1"}

Manifest = dict[str, Any]
Values = Mapping[str, Any]

ACCEPTED = {"weights": {"acceptLicence": True}}
"""What the command at the head of two examples gives beside the file."""

SMALL: Values = {
    "store": {"claim": {"enabled": True}},
    "database": {"external": {"secret": "database"}},
    "tls": {"secret": "certificate"},
}
"""The least that can be installed."""


def merged(*values: Values) -> dict[str, Any]:
    """As Helm merges value files: the later one wins, key by key."""
    result: dict[str, Any] = {}
    for one in values:
        for key, value in one.items():
            old: Any = result.get(key)
            both = isinstance(old, dict) and isinstance(value, Mapping)
            result[key] = merged(old, value) if both else copy.deepcopy(value)
    return result


def example(name: str) -> dict[str, Any]:
    """The values file of that name, with what its first lines say to add."""
    loaded: dict[str, Any] = yaml.safe_load((CHART / "values" / f"{name}.yaml").read_text("utf-8"))
    return merged(loaded, ACCEPTED)


def defaults() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    return loaded


def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    return loaded


@cache
def _chart() -> helm_python.Chart:
    return helm_python.Chart.load(CHART)


def files(values: Values) -> dict[str, str]:
    """Template -> what it becomes. Raises HelmError."""
    rendered = _chart().render(dict(values), name=RELEASE, namespace=NAMESPACE)
    return {name.removeprefix("omnimatte/templates/"): text for name, text in rendered.items()}


def objects(values: Values) -> list[Manifest]:
    """All objects, as the API server would get them."""
    return [
        manifest
        for name, text in files(values).items()
        if name != "NOTES.txt"
        for manifest in yaml.load_all(text, Loader=LOADER)
        if manifest
    ]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """The object of that kind whose name is `name`, behind the release's."""
    full = f"{NAME}-{name}" if name else NAME
    return next(one for one in manifests if one["kind"] == kind and one["metadata"]["name"] == full)


def kinds(manifests: list[Manifest], *wanted: str) -> list[Manifest]:
    return [one for one in manifests if one["kind"] in wanted]


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Every pod or pod template: whose it is, and {"metadata", "spec"}; that of the worker Jobs too."""
    for one in manifests:
        whose = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] == "Pod":
            yield whose, one
        elif one["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield whose, one["spec"]["template"]
        elif one["kind"] == "ConfigMap" and "worker-pod.yaml" in one["data"]:
            yield "Job/worker", yaml.safe_load(one["data"]["worker-pod.yaml"])


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def settings_of(manifests: list[Manifest]) -> dict[str, Any]:
    """What the orchestrator reads."""
    loaded: dict[str, Any] = yaml.safe_load(named(manifests, "ConfigMap", "config")["data"]["serve.yaml"])
    return loaded


@cache
def _validator(kind: str, api: str, version: str) -> jsonschema.Draft202012Validator:
    folder = f"kubernetes-json-schema/v{version}.0-local-strict"
    group = api.split("/")[0].split(".")[0] + "-" if "/" in api else ""
    wanted = utils.schema_contents(f"{folder}/{kind.lower()}-{group}{api.rpartition('/')[2]}.json", version)
    return jsonschema.Draft202012Validator(wanted, registry=_definitions(version))


@cache
def _definitions(version: str) -> referencing.Registry[Any]:
    contents = utils.schema_contents(f"kubernetes-json-schema/v{version}.0-local-strict/_definitions.json", version)
    made = referencing.Resource.from_contents(contents, default_specification=referencing.jsonschema.DRAFT202012)
    registry: referencing.Registry[Any] = referencing.Registry().with_resource("_definitions.json", made).crawl()
    return registry


def refused(manifest: Manifest, version: str) -> str:
    """Why an API server of that version would not take the object; "" if it would.

    kubernetes-validate's own schemas and its strictness, without reading them again for each object.
    """
    if manifest["apiVersion"] in CUSTOM:
        return ""
    validator = _validator(manifest["kind"], manifest["apiVersion"], version)
    error = jsonschema.exceptions.best_match(validator.iter_errors(manifest))
    if error is None:
        return ""
    return f"{manifest['kind']} {manifest['metadata']['name']}: {error.json_path}: {error.message}"
