"""What a job is asked to do, checked before anything runs.

A spec names uploads by their digests and objects by their labels; with it, `orchestrator/plan.py` knows every stage
request of the job. The same wish always has the same canonical JSON, so that its digest can tell a repeated request
from another.
Must not know: transports, databases, or how a plan is run. What only the pixels can tell (a box outside the frame, a
mask of another size) is the stages' to find.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from orchestrator.options import Options, parse_options, restored_options
from orchestrator.timing import Scheduling, parse_scheduling, scheduling_to_dict
from services.artifacts import canonical, digest
from services.errors import BadInput, BadPrompt
from services.fields import Fields

MAX_OBJECTS = 8
MAX_PROMPTS = 64

# Names of files and of plan nodes that an object's label must not take.
RESERVED_LABELS = frozenset({"background", "preserve", "video"})

_LABEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class File:
    """An uploaded file. `digest` is its address in the store; `filename` only serves messages and results."""

    digest: str
    filename: str = ""


@dataclass(frozen=True)
class Prompt:
    """Where an object is in one frame: a box (x0, y0, x1, y1) or a point (x, y), pixels of the source.

    Attributes:
        frame: index of the frame, from 0.
        positive: False for a point that the object does not cover. A box is always positive.
    """

    frame: int
    box: tuple[float, float, float, float] | None = None
    point: tuple[float, float] | None = None
    positive: bool = True


@dataclass(frozen=True)
class Object:
    """One object: by mask file or by prompts, never both.

    Attributes:
        label: its name in the results, unique in the job.
        mask: its masks: a video, an image, or a tar of images.
        prompts: boxes and points that the tracker turns into masks.
        layer: False for an occluder: removed from the background, but its own layer is not asked for.
    """

    label: str
    mask: File | None = None
    prompts: tuple[Prompt, ...] = ()
    layer: bool = True


@dataclass(frozen=True)
class JobSpec:
    """A checked job. Make it with `from_dict`, which is the one way to be sure that it is valid.

    Attributes:
        scheduling: when it is done.
        allow_partial: whether it may succeed without the layers of objects that fail for good.
    """

    source: File
    objects: tuple[Object, ...]
    preserve: File | None = None
    options: Options = field(default_factory=Options)
    scheduling: Scheduling = field(default_factory=Scheduling)
    allow_partial: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; `from_dict` turns it back into an equal spec."""
        data = asdict(self) | {"scheduling": scheduling_to_dict(self.scheduling)}
        # Absent where they are the default: jobs recorded before there was a choice keep their digests.
        if self.scheduling == Scheduling():
            del data["scheduling"]
        if not self.allow_partial:
            del data["allow_partial"]
        return data

    @property
    def work(self) -> JobSpec:
        """The same job as far as its results are concerned: whenever it is done, whatever may be missing."""
        return replace(self, scheduling=Scheduling(), allow_partial=False)

    def to_json(self) -> str:
        return canonical(self.to_dict()).decode()

    def digest(self) -> str:
        """SHA-256 of the canonical JSON: equal wishes have equal digests."""
        return digest(self.to_dict())


def uploads(spec: JobSpec) -> Iterator[tuple[str, File]]:
    """Every file that the job uses, with the path of its field."""
    yield "source", spec.source
    for i, item in enumerate(spec.objects):
        if item.mask is not None:
            yield f"objects[{i}].mask", item.mask
    if spec.preserve is not None:
        yield "preserve", spec.preserve


def from_dict(data: Mapping[str, Any]) -> JobSpec:
    """The job that `data` describes; absent fields take their defaults.

    Raises:
        BadInput: with `field` naming the place ("objects[1].label") and a message that says what would be right.
    """
    known = Fields(data, "", "source", "objects", "preserve", "options", "scheduling", "allow_partial")
    source = _file(known.get("source"), "source")
    if source is None:
        raise BadInput("the job names no source video; upload one and give its digest as source.", field="source")
    objects = tuple(_object(item, f"objects[{i}]") for i, item in enumerate(known.items("objects")))
    if not 1 <= len(objects) <= MAX_OBJECTS:
        raise BadInput(
            f"the job has {len(objects)} objects; give 1 to {MAX_OBJECTS}, each by a mask or by prompts.",
            field="objects",
        )
    _check_labels(objects)
    preserve = _file(known.get("preserve"), "preserve")
    return JobSpec(
        source=source,
        objects=objects,
        preserve=preserve,
        options=parse_options(known.get("options") or {}),
        scheduling=parse_scheduling(known.get("scheduling") or {}),
        allow_partial=known.flag("allow_partial", False),
    )


def settled(data: Mapping[str, Any], *, profile: str) -> JobSpec:
    """`from_dict`, with `profile` where the job names none."""
    checked = from_dict(data)
    return replace(checked, options=checked.options.settled(profile))


def restored(data: Mapping[str, Any]) -> JobSpec:
    """The spec that `to_dict` gave, unchecked: rules that came later must not make recorded jobs unreadable."""
    objects = []
    for item in data["objects"]:
        prompts = tuple(_restored_prompt(prompt) for prompt in item["prompts"])
        objects.append(Object(**{**item, "mask": _restored_file(item["mask"]), "prompts": prompts}))
    return JobSpec(
        source=File(**data["source"]),
        objects=tuple(objects),
        preserve=_restored_file(data["preserve"]),
        options=restored_options(data["options"]),
        scheduling=parse_scheduling(data.get("scheduling", {})),
        allow_partial=data.get("allow_partial", False),
    )


def _restored_file(data: Mapping[str, Any] | None) -> File | None:
    return File(**data) if data else None


def _restored_prompt(data: Mapping[str, Any]) -> Prompt:
    places = {name: tuple(data[name]) if data[name] else None for name in ("box", "point")}
    return Prompt(**{**data, **places})


def _file(data: object, where: str) -> File | None:
    if data is None:
        return None
    known = Fields(data, where, "digest", "filename")
    value = known.get("digest", "")
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise BadInput(
            f"{where}.digest is {value!r}; give the 64 hex digits that Upload answered.", field=f"{where}.digest"
        )
    filename = known.get("filename", "")
    if not isinstance(filename, str) or len(filename) > 255:
        raise BadInput(f"{where}.filename must be a text of at most 255 characters.", field=f"{where}.filename")
    return File(digest=value, filename=filename)


def _object(data: object, where: str) -> Object:
    known = Fields(data, where, "label", "mask", "prompts", "layer")
    label = check_label(known.get("label", ""), field=f"{where}.label")
    mask = _file(known.get("mask"), f"{where}.mask")
    prompts = tuple(_prompt(item, f"{where}.prompts[{i}]") for i, item in enumerate(known.items("prompts")))
    if (mask is None) == (not prompts):
        raise BadInput(
            f"object {label!r} has {'both a mask and prompts' if prompts else 'neither a mask nor prompts'}; "
            "give either its mask, or boxes and points.",
            field=where,
        )
    if len(prompts) > MAX_PROMPTS:
        raise BadPrompt(
            f"object {label!r} has {len(prompts)} prompts; give at most {MAX_PROMPTS}.", field=f"{where}.prompts"
        )
    if prompts and not any(prompt.positive for prompt in prompts):
        raise BadPrompt(
            f"object {label!r} has negative points only; add a box, or a point on the object.",
            field=f"{where}.prompts",
        )
    return Object(label=label, mask=mask, prompts=prompts, layer=known.flag("layer", True))


def check_label(label: object, *, field: str = "label") -> str:
    """`label` if it may name an object. Raises BadInput."""
    if not isinstance(label, str) or not _LABEL.fullmatch(label):
        raise BadInput(
            f"the label {label!r} cannot be used; use 1 to 40 of a-z, 0-9, - and _, beginning with a letter or digit.",
            field=field,
        )
    if label in RESERVED_LABELS:
        raise BadInput(f"the label {label!r} is reserved; call the object something else.", field=field)
    return label


def _check_labels(objects: Sequence[Object]) -> None:
    seen: set[str] = set()
    for i, item in enumerate(objects):
        if item.label in seen:
            raise BadInput(
                f"overlapping labels: two objects are called {item.label!r}; give each object a label of its own.",
                field=f"objects[{i}].label",
            )
        seen.add(item.label)


def _prompt(data: object, where: str) -> Prompt:
    known = Fields(data, where, "frame", "box", "point", "positive")
    frame = known.get("frame", 0)
    if not isinstance(frame, int) or isinstance(frame, bool) or frame < 0:
        raise BadPrompt(f"{where}: the frame is {frame!r}; frames count from 0.", field=f"{where}.frame")
    box, point = _numbers(known, "box", 4), _numbers(known, "point", 2)
    if (box is None) == (point is None):
        raise BadPrompt(f"{where} must have either a box or a point.", field=where)
    positive = known.flag("positive", True)
    if box is not None:
        x0, y0, x1, y1 = box
        if x1 <= x0 or y1 <= y0:
            raise BadPrompt(
                f"{where}: the box {x0:g},{y0:g},{x1:g},{y1:g} is empty; give left,top,right,bottom.",
                field=f"{where}.box",
            )
        if not positive:
            raise BadPrompt(f"{where}: a box cannot be negative; use negative points.", field=f"{where}.positive")
        return Prompt(frame=frame, box=(x0, y0, x1, y1))
    assert point is not None
    return Prompt(frame=frame, point=(point[0], point[1]), positive=positive)


def _numbers(known: Fields, name: str, count: int) -> tuple[float, ...] | None:
    values = known.items(name)
    if not values:
        return None
    good = all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e6 for v in values)
    if len(values) != count or not good:
        raise BadPrompt(f"{known.path(name)} must be {count} numbers, in pixels.", field=known.path(name))
    if min(values) < 0:
        raise BadPrompt(
            f"{known.path(name)} {list(values)} is outside the frame; pixels count from 0.", field=known.path(name)
        )
    return tuple(float(v) for v in values)
