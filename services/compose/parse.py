"""A user's YAML or JSON as an `Edit`: everything is checked that can be without its files.

Must not know: deliveries, or pixels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from services.compose.edit import (
    FILTERS,
    FORMATS,
    WITH_ALPHA,
    Change,
    Diffusion,
    Edit,
    Ground,
    Insert,
    Look,
    OrderRun,
    Output,
    Style,
)
from services.compose.retime import EDGES, Retime
from services.compose.values import FAR, EditFields, curve, number, point, rgb_of
from services.errors import BadInput, BadOption
from services.fields import Fields

MAX_BYTES = 1 << 20
MAX_LAYERS = 64
MAX_SIDE = 8192
_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_CHANGE = ("remove", "move", "scale", "rotate", "anchor", "opacity", "color", "blur", "retime", "stylise")


class _Loader(yaml.SafeLoader):
    """YAML's plain values, and no aliases: a few of them can stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias (*), which an edit does not need")
        return super().compose_node(parent, index)


def parse_text(text: str | bytes) -> Edit:
    """The edit that YAML, or JSON, describes. Raises BadInput, BadOption with `field` naming the place."""
    if len(text) > MAX_BYTES:
        raise BadInput(f"the edit has {len(text)} bytes, more than {MAX_BYTES}; shorten it.")
    try:
        return parse(plain(text))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"the edit is no YAML ({' '.join(str(error).split())[:200]}); correct it there.") from error


def plain(text: str | bytes) -> Any:
    """The plain data in YAML. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=_Loader)


def parse(data: object) -> Edit:
    """The edit that plain data describes; None is the empty edit. Raises as `parse_text`."""
    known = EditFields({} if data is None else data, "", *Edit.__dataclass_fields__)
    layers = known.get("layers", {})
    if not isinstance(layers, Mapping):
        raise BadInput("layers must be an object: a label, and what happens to it.", field="layers")
    inserts = known.items("inserts")
    if len(layers) + len(inserts) > MAX_LAYERS:
        raise BadInput(f"the edit names {len(layers) + len(inserts)} layers, more than {MAX_LAYERS}.", field="layers")
    edit = Edit(
        source=known.text("source", "", limit=4096),
        frames=_range(known),
        size=_size(known),
        background=_ground(known.get("background", "keep")),
        layers={str(label): _change(value or {}, f"layers.{label}") for label, value in layers.items()},
        inserts=tuple(_insert(item, f"inserts[{i}]") for i, item in enumerate(inserts)),
        order=_order(known.get("order")),
        output=_output(known.get("output") or {}),
    )
    _check(edit)
    return edit


def _check(edit: Edit) -> None:
    """What the parts of an edit ask of each other."""
    seen = set(edit.layers)
    for i, insert in enumerate(edit.inserts):
        if insert.label in seen:
            raise BadInput(
                f"two layers are called {insert.label!r}; give the inserted one another name with 'as'.",
                field=f"inserts[{i}].as",
            )
        seen.add(insert.label)
    output = edit.output
    if output.alpha and output.format not in WITH_ALPHA:
        raise BadOption(
            f"{output.format} (H.264) has no alpha; take {', '.join(WITH_ALPHA)}, or leave alpha out.",
            field="output.alpha",
        )
    if edit.background.kind == "none" and not output.alpha:
        raise BadOption(
            "background is none, but the output has no alpha; set output.alpha to true, or choose a background.",
            field="background",
        )
    if output.alpha and edit.background.kind != "none":
        raise BadOption(
            "output.alpha is true, but a background hides it; set background to none.", field="output.alpha"
        )


def _range(known: Fields) -> tuple[int, int] | None:
    given = known.items("frames")
    if not given:
        return None
    if (
        len(given) != 2
        or any(not isinstance(v, int) or isinstance(v, bool) for v in given)
        or not 0 <= given[0] <= given[1]
    ):
        raise BadOption(f"frames is {list(given)}; give the first and the last frame, counted from 0.", field="frames")
    return int(given[0]), int(given[1])


def _size(known: Fields) -> tuple[int, int] | None:
    text = known.text("size", "", limit=16)
    if not text:
        return None
    match = _SIZE.fullmatch(text)
    sides = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(2 <= side <= MAX_SIDE for side in sides):
        raise BadOption(f"size is {text!r}; write WIDTHxHEIGHT, each from 2 to {MAX_SIDE}.", field="size")
    return sides


def _ground(data: object) -> Ground:
    if data is None:  # YAML's own word for none.
        return Ground("none")
    if isinstance(data, str):
        if data in ("keep", "none", "checker"):
            return Ground(data)
        raise BadOption(
            f"background is {data!r}; write keep, none, checker, {{color: '#rrggbb'}}, {{image: FILE}} or "
            "{video: FILE}.",
            field="background",
        )
    known = EditFields(data, "background", "color", "image", "video", "checker")
    given = [name for name in ("color", "image", "video", "checker") if known.get(name)]
    if len(given) != 1:
        raise BadOption("background must have exactly one of color, image, video, checker.", field="background")
    if given[0] == "checker":
        return Ground("checker")
    value = known.text(given[0], "", limit=4096)
    if given[0] == "color":
        rgb_of(value, "background.color")
    return Ground(given[0], value)


def _change(data: object, where: str, *more: str) -> Change:
    known = EditFields(data, where, *_CHANGE, *more)
    return Change(
        remove=known.flag("remove", False),
        move=curve(known, "move", 2, default=(0, 0), low=-FAR, high=FAR),
        scale=curve(known, "scale", 2, default=(1, 1), low=0.01, high=100, spread=True),
        rotate=curve(known, "rotate", 1, default=(0,), low=-FAR, high=FAR),
        anchor=point(known, "anchor"),
        opacity=curve(known, "opacity", 1, default=(1,), low=0, high=1),
        look=_look(known),
        retime=_retime(known.get("retime") or {}, f"{where}.retime"),
        style=_style(known.get("stylise"), f"{where}.stylise"),
    )


def _look(known: Fields) -> Look:
    color = EditFields(
        known.get("color") or {}, known.path("color"), "exposure", "contrast", "saturation", "hue", "tint"
    )
    tint = color.text("tint", "", limit=7)
    return Look(
        exposure=curve(color, "exposure", 1, default=(0,), low=-20, high=20),
        contrast=curve(color, "contrast", 1, default=(1,), low=0, high=10),
        saturation=curve(color, "saturation", 1, default=(1,), low=0, high=10),
        hue=curve(color, "hue", 1, default=(0,), low=-360, high=360),
        tint=rgb_of(tint, color.path("tint")) if tint else (1.0, 1.0, 1.0),
        blur=curve(known, "blur", 1, default=(0,), low=0, high=200),
    )


def _retime(data: object, where: str) -> Retime:
    known = EditFields(data, where, *Retime.__dataclass_fields__)
    freeze = known.get("freeze")
    if freeze is not None and (not isinstance(freeze, int) or isinstance(freeze, bool) or freeze < 0):
        raise BadOption(f"freeze is {freeze!r}; give the number of a frame.", field=known.path("freeze"))
    speed = number(known.get("speed", 1.0), known.path("speed"), 0.001, 1000)
    return Retime(
        map=curve(known, "map", 1, default=(0,), low=-FAR, high=FAR) if known.get("map") is not None else None,
        offset=number(known.get("offset", 0.0), known.path("offset"), -FAR, FAR),
        speed=speed,
        reverse=known.flag("reverse", False),
        freeze=freeze,
        edge=known.choice("edge", "hold", EDGES),
        blend=known.flag("blend", False),
    )


def _style(data: object, where: str) -> Style | None:
    if data is None:
        return None
    known = EditFields(data, where, "filter", "command", "diffusers")
    given = [name for name in ("filter", "command", "diffusers") if known.get(name)]
    if len(given) != 1:
        raise BadOption(f"{where} must have exactly one of filter, command, diffusers.", field=where)
    if given[0] == "filter":
        return Style(filter=known.choice("filter", FILTERS[0], FILTERS))
    if given[0] == "command":
        words = known.items("command")
        if not all(isinstance(word, str) for word in words) or not {"{input}", "{output}"} <= set(words):
            raise BadOption(
                f'{where}.command must be a list of words with "{{input}}" and "{{output}}" among them: the folders '
                "that it reads and writes.",
                field=f"{where}.command",
            )
        return Style(command=tuple(words))
    inner = EditFields(known.get("diffusers"), f"{where}.diffusers", *Diffusion.__dataclass_fields__)
    model = inner.text("model", "", limit=4096)
    if not model:
        raise BadOption(f"{where}.diffusers lacks model, a folder or a name.", field=inner.path("model"))
    return Style(
        diffusion=Diffusion(
            model=model,
            prompt=inner.text("prompt", "", limit=2000),
            strength=number(inner.get("strength", 0.5), inner.path("strength"), 0.01, 1),
            steps=inner.integer("steps", 20, 1, 200),
            seed=inner.integer("seed", 0, 0, 2**32 - 1),
        )
    )


def _insert(data: object, where: str) -> Insert:
    change = _change(data, where, "from", "layer", "as")
    known = EditFields(data, where, "from", "layer", "as", *_CHANGE)
    source, layer = known.text("from", "", limit=4096), known.text("layer", "", limit=100)
    if not source or not layer:
        raise BadInput(f"{where} needs 'from' (a delivery) and 'layer' (its label).", field=where)
    label = known.text("as", layer, limit=100)
    if not label or label == "background":
        raise BadInput(f"{where} cannot be called {label!r}; choose another name with 'as'.", field=f"{where}.as")
    return Insert(source=source, layer=layer, label=label, change=change)


def _order(data: object) -> tuple[OrderRun, ...]:
    if data is None:
        return ()
    if not isinstance(data, list) or not data:
        raise BadInput("order must be a list: labels front to back, or runs of them.", field="order")
    if all(isinstance(item, str) for item in data):
        return (OrderRun(0, tuple(data)),)
    runs: list[OrderRun] = []
    for i, item in enumerate(data):
        known = EditFields(item, f"order[{i}]", "frame", "front_to_back")
        frame, labels = known.integer("frame", 0, 0, 10**6), known.items("front_to_back")
        if not labels or not all(isinstance(label, str) for label in labels) or len(set(labels)) < len(labels):
            raise BadInput(f"order[{i}].front_to_back must be a list of labels, each once.", field=f"order[{i}]")
        if runs and frame <= runs[-1].frame:
            raise BadInput(f"order[{i}] begins at frame {frame}, not after the one before.", field=f"order[{i}].frame")
        runs.append(OrderRun(frame, tuple(labels)))
    return tuple(runs)


def _output(data: object) -> Output:
    known = EditFields(data, "output", "format", "alpha")
    return Output(format=known.choice("format", FORMATS[0], FORMATS), alpha=known.flag("alpha", False))
