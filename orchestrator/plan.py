"""The chain of stages as a pure function of the job spec.

    ingest -> sam2 / ingest(mask) -> plate -> casper x (N+1, same seed) -> ssr x (N+1) -> omnimatte x N -> finish
                                  `-> depth -------------------------------------------------------------^

Of large frames, if the job wishes it, a region is cut after the masks, and everything up to `omnimatte` works on that.

N counts the objects whose layer is asked for. When the job has one object, the input video itself shows it alone
(paper, section 3.2), so only the background run is made. Nothing of a job's identity enters a request, so that two jobs
that share a stage share its artifact.
Must not know: how nodes are run, and anything about pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.options import MAX_RUNS, REGIONS, TIERS, Options
from orchestrator.spec import JobSpec, Object
from services.profiles import COMPACT, MODELS, find
from services.stage import Request

# Runs that one request to a published Casper makes: they share the encoded clip, and weights that travel to the GPU.
_TOGETHER = MAX_RUNS


@dataclass(frozen=True)
class Upload:
    """An input that a user sent; `address` is the artifact's."""

    address: str


@dataclass(frozen=True)
class Output:
    """An input that the node `node` makes, or the part `part` of what it makes."""

    node: str
    part: str = ""


Ref = Upload | Output


@dataclass(frozen=True)
class Node:
    """One stage request whose inputs may not exist yet.

    Attributes:
        id: unique in the plan, and what a user reads: "casper/vase".
        stage: the stage to run.
        params: its parameters, JSON.
        inputs: name of the input -> where it comes from.
    """

    id: str
    stage: str
    params: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Ref] = field(default_factory=dict)

    @property
    def needs(self) -> tuple[str, ...]:
        """The nodes that must be done before this one."""
        return tuple(ref.node for ref in self.inputs.values() if isinstance(ref, Output))

    def request(self, outputs: Mapping[str, str]) -> Request:
        """The stage request, given the address of every node in `needs`."""
        inputs = {name: _address(ref, outputs) for name, ref in self.inputs.items()}
        return Request(stage=self.stage, params=self.params, inputs=inputs, subject=self.id)


def _address(ref: Ref, outputs: Mapping[str, str]) -> str:
    if isinstance(ref, Upload):
        return ref.address
    return f"{outputs[ref.node]}/{ref.part}" if ref.part else outputs[ref.node]


def plan(spec: JobSpec) -> tuple[Node, ...]:
    """The job's nodes, each after the nodes that it needs; the last one makes the deliverables."""
    spec = replace(spec, options=spec.options.settled(COMPACT))
    sources = _sources(spec)
    native = _tracks(spec)
    tracks = native if spec.options.region == REGIONS[0] else _regional(spec)
    layers = [item.label for item in spec.objects if item.layer]
    alone = len(spec.objects) == 1
    keeps: dict[str, list[str]] = {"background": []}
    if not alone:
        keeps |= {label: [label] for label in layers}
    removed = _removed(spec, keeps, tracks)
    made = {name: Output(node.id, name) for node in removed for name in node.params["runs"]}
    wholes = [] if alone or spec.options.model("sam2") == COMPACT else layers
    return (
        *sources,
        *([_region(spec, native)] if tracks is not native else []),
        _plate(spec, tracks),
        *removed,
        _depth(spec, native),
        *(_ssr(spec, name, keep, made[name], tracks) for name, keep in keeps.items()),
        *(_whole(spec, label, tracks) for label in wholes),
        *(_omnimatte(spec, label, made, tracks, whole=label in wholes) for label in layers),
        _finish(spec, layers, native),
    )


def steps_of(options: Options) -> int:
    """Casper's denoising steps as the job or compact Casper has it; 0: what the published one's tier has."""
    return options.steps or (1 if options.model("casper") == COMPACT else 0)


def long_side_of(options: Options) -> int:
    """The most pixels along a layer's longer side: the job's choice, or its profile's."""
    return options.long_side or find(options.profile).long_side


_VIDEO = Output("ingest")
_PLATE = Output("plate")


@dataclass(frozen=True)
class _Tracks:
    """How stages find clip and object masks: the `objects` parameter, the inputs that it names, the clip, and the mask
    of what must stay."""

    objects: list[dict[str, Any]]
    inputs: dict[str, Ref]
    preserve: dict[str, Ref]
    video: Ref = _VIDEO


def _sources(spec: JobSpec) -> list[Node]:
    nodes = [Node("ingest", "ingest", {"kind": "video"}, {"upload": Upload(spec.source.digest)})]
    nodes += [_ingest_mask(f"mask/{item.label}", item.label, item.mask.digest) for item in spec.objects if item.mask]
    if spec.preserve is not None:
        nodes.append(_ingest_mask("preserve", "preserve", spec.preserve.digest))
    if _prompted(spec):
        nodes.append(Node("sam2", "sam2", prompt_params(spec), {"video": _VIDEO}))
    return nodes


def prompt_params(spec: JobSpec) -> dict[str, Any]:
    """How a segmentation stage is told about the objects that have prompts."""
    prompted = _prompted(spec)
    prompts = [_prompt(item.label, prompt) for item in prompted for prompt in item.prompts]
    return {"prompts": prompts, "labels": [item.label for item in prompted], "model": spec.options.model("sam2")}


def _ingest_mask(node: str, label: str, address: str) -> Node:
    return Node(node, "ingest", {"kind": "mask", "label": label}, {"upload": Upload(address), "video": _VIDEO})


def _prompted(spec: JobSpec) -> list[Object]:
    return [item for item in spec.objects if item.mask is None]


def _prompt(label: str, prompt: Any) -> dict[str, Any]:
    place = {"box": list(prompt.box)} if prompt.box else {"point": list(prompt.point)}
    return {"object": label, "frame": prompt.frame, **place, "positive": prompt.positive}


def _tracks(spec: JobSpec) -> _Tracks:
    channels = {item.label: i for i, item in enumerate(_prompted(spec))}
    objects: list[dict[str, Any]] = []
    inputs: dict[str, Ref] = {}
    for item in spec.objects:
        name = f"mask/{item.label}" if item.mask else "sam2"
        objects.append({"label": item.label, "input": name, "channel": channels.get(item.label, 0)})
        inputs[name] = Output(name)
    return _Tracks(objects, inputs, {} if spec.preserve is None else {"preserve": Output("preserve")})


def _regional(spec: JobSpec) -> _Tracks:
    """The same within the region: one artifact is the clip and has all masks."""
    where = Output("region")
    objects = [{"label": item.label, "input": "region", "channel": i} for i, item in enumerate(spec.objects)]
    preserve: dict[str, Ref] = {} if spec.preserve is None else {"preserve": Output("region", "preserve")}
    return _Tracks(objects, {"region": where}, preserve, video=where)


def _region(spec: JobSpec, tracks: _Tracks) -> Node:
    params = {"objects": tracks.objects, "long_side": long_side_of(spec.options)}
    return Node("region", "region", params, {"video": _VIDEO, **tracks.inputs, **tracks.preserve})


def _plate(spec: JobSpec, tracks: _Tracks) -> Node:
    # It leaves every object out, whichever a run of Casper keeps: so once is enough.
    params = {"objects": tracks.objects, "long_side": long_side_of(spec.options)}
    return Node("plate", "plate", params, {"video": tracks.video, **tracks.inputs})


def _removed(spec: JobSpec, keeps: Mapping[str, list[str]], tracks: _Tracks) -> list[Node]:
    """Casper's runs, several in one request where they share work."""
    alone = 1 if spec.options.model("casper") == COMPACT else _TOGETHER
    size = spec.options.casper.runs_together or alone
    names = list(keeps)
    groups = [names[i : i + size] for i in range(0, len(names), size)]
    return [_casper(spec, {name: keeps[name] for name in group}, tracks) for group in groups]


def _casper(spec: JobSpec, runs: Mapping[str, list[str]], tracks: _Tracks) -> Node:
    # All runs of a job start from the same noise: what the runs agree on must not differ by chance (section 3.2).
    params = {
        "objects": tracks.objects,
        "runs": dict(runs),
        "seed": spec.options.seed,
        "model": spec.options.model("casper"),
        **_sampling(spec.options),
    }
    inputs = {"video": tracks.video, "plate": _PLATE, **tracks.inputs, **tracks.preserve}
    return Node(f"casper/{'+'.join(runs)}", "casper", params, inputs)


def _sampling(options: Options) -> dict[str, Any]:
    """What the model is told beyond the runs: the compact Casper has steps, the published ones more choices."""
    if options.model("casper") == COMPACT:
        return {"steps": steps_of(options)}
    casper = options.casper
    chosen = {"steps": options.steps, "prompt": casper.prompt, "size": casper.size, "context": casper.image_context}
    return {"tier": casper.tier or TIERS[0]} | {name: value for name, value in chosen.items() if value}


def _ssr(spec: JobSpec, name: str, keep: list[str], casper: Output, tracks: _Tracks) -> Node:
    params = {
        "objects": tracks.objects,
        "keep": keep,
        "long_side": long_side_of(spec.options),
    }
    inputs = {
        "video": tracks.video,
        "plate": _PLATE,
        "casper": casper,
        **tracks.inputs,
        **tracks.preserve,
    }
    return Node(f"ssr/{name}", "ssr", params, inputs)


def _depth(spec: JobSpec, tracks: _Tracks) -> Node:
    params = {"objects": tracks.objects, "model": spec.options.model("depth")}
    return Node("depth", "depth", params, {"video": _VIDEO, **tracks.inputs})


def _whole(spec: JobSpec, label: str, tracks: _Tracks) -> Node:
    # What others hide of an object can be seen on its solo video (section 4).
    params = {"objects": tracks.objects, "whole": label, "model": spec.options.model("sam2")}
    return Node(f"whole/{label}", "sam2", params, {"solo": Output(f"ssr/{label}"), **tracks.inputs})


def _omnimatte(spec: JobSpec, label: str, made: Mapping[str, Output], tracks: _Tracks, *, whole: bool) -> Node:
    params = {
        "objects": tracks.objects,
        "label": label,
        "schedule": spec.options.schedule,
        "seed": spec.options.seed,
    }
    inputs: dict[str, Ref] = {
        "video": tracks.video,
        "background": made["background"],
        "background_ssr": Output("ssr/background"),
        **tracks.inputs,
    }
    if label in made:
        inputs |= {"solo": made[label], "solo_ssr": Output(f"ssr/{label}")}
    if whole:
        inputs["whole"] = Output(f"whole/{label}")
    return Node(f"omnimatte/{label}", "omnimatte", params, inputs)


def _finish(spec: JobSpec, layers: list[str], tracks: _Tracks) -> Node:
    delivery = spec.options.delivery.chosen()
    params = {
        "objects": tracks.objects,
        "layers": layers,
        "formats": list(spec.options.formats),
        **({"delivery": delivery} if delivery else {}),
        "profile": spec.options.profile,
        # What the results tell about the job that made them, and no stage needs.
        "job": {
            "filename": spec.source.filename,
            "spec": spec.work.digest(),
            "seed": spec.options.seed,
            "models": {stage: spec.options.model(stage) for stage in MODELS},
            "steps": steps_of(spec.options),
            "tier": "" if spec.options.model("casper") == COMPACT else spec.options.casper.tier or TIERS[0],
            "schedule": spec.options.schedule,
        },
    }
    inputs: dict[str, Ref] = {
        "video": _VIDEO,
        "background": Output("ssr/background"),
        "depth": Output("depth"),
        **({"region": Output("region")} if spec.options.region != REGIONS[0] else {}),
        **{f"layer/{label}": Output(f"omnimatte/{label}") for label in layers},
        **tracks.inputs,
    }
    return Node("finish", "finish", params, inputs)
