"""A little Nuke: reads a script's nodes, follows its stack, and computes a frame with the operators that we write."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenEXR

Image = dict[str, np.ndarray]  # layer -> [H, W, 4]


@dataclass
class Node:
    kind: str
    knobs: dict[str, str]
    inputs: list[Node] = field(default_factory=list)


def parse(text: str) -> tuple[Node, Node]:
    """The script's Root and its Write node, with their inputs."""
    stack: list[Node] = []
    variables: dict[str, Node] = {}
    root = Node("Root", {})
    lines = iter(text.splitlines())
    for line in lines:
        if not line or line.startswith(("#", "version", "add_layer")):
            continue
        if match := re.fullmatch(r"set (N_\w+) \[stack 0\]", line):
            variables[match[1]] = stack[-1]
        elif match := re.fullmatch(r"push \$(N_\w+)", line):
            stack.append(variables[match[1]])
        else:
            match = re.fullmatch(r"(\w+) \{", line)
            assert match, line
            knobs: dict[str, str] = {}
            for inner in lines:
                if inner == "}":
                    break
                name, _, value = inner.strip().partition(" ")
                knobs[name] = value
            node = Node(match[1], knobs)
            if node.kind == "Root":
                root = node
                continue
            for _ in range(int(knobs.get("inputs", 1))):
                node.inputs.append(stack.pop())
            stack.append(node)
    assert stack[-1].kind == "Write"
    return root, stack[-1]


HERE = "[file dirname [value root.name]]"


def word(text: str) -> str:
    """The value of a knob, as Nuke has it after reading the script and evaluating what it read: the first `HERE` stays,
    anything else that Tcl would substitute is an error."""
    assert text[0] == text[-1] == '"'
    value = _unescaped(text[1:-1])
    return HERE + _unescaped(value[len(HERE) :]) if value.startswith(HERE) else _unescaped(value)


def _unescaped(text: str) -> str:
    result, chars = "", iter(text)
    for char in chars:
        if char == "\\":
            result += next(chars)
        else:
            assert char not in '"[$', text
            result += char
    return result


def compute(node: Node, frame: int, folder: Path) -> Image:
    inputs = [lambda one=one: compute(one, frame, folder) for one in node.inputs]
    return _OPERATORS[node.kind](node.knobs, inputs, frame, folder)


def _read(knobs: dict[str, str], inputs: list[Any], frame: int, folder: Path) -> Image:
    assert knobs["raw"] == "true" and int(knobs["first"]) <= frame <= int(knobs["last"])
    file = word(knobs["file"]).replace(HERE, str(folder)) % frame
    if file.endswith(".exr"):
        channels = OpenEXR.File(file).channels()
        return {"rgba" if name == "RGBA" else name: one.pixels.astype(np.float64) for name, one in channels.items()}
    image = cv2.imread(file, cv2.IMREAD_UNCHANGED)
    assert image is not None, file
    peak = np.iinfo(image.dtype).max
    if image.shape[2] == 3:
        image = np.dstack([image, np.full(image.shape[:2], peak, image.dtype)])
    return {"rgba": cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA).astype(np.float64) / peak}


def _on_rgba(change: Callable[[np.ndarray, dict[str, str]], np.ndarray]) -> Any:
    def run(knobs: dict[str, str], inputs: list[Any], frame: int, folder: Path) -> Image:
        image = inputs[0]()
        return image | {"rgba": change(image["rgba"], knobs)}

    return run


def _with_color(image: np.ndarray, color: np.ndarray) -> np.ndarray:
    return np.concatenate([color, image[..., 3:]], axis=-1)


def _gamma(image: np.ndarray, knobs: dict[str, str]) -> np.ndarray:
    assert knobs["channels"] == "rgb"
    return _with_color(image, np.maximum(image[..., :3], 0) ** (1 / float(knobs["value"])))


def _colorspace(image: np.ndarray, knobs: dict[str, str]) -> np.ndarray:
    v = np.maximum(image[..., :3], 0)
    if knobs.get("colorspace_out") == "sRGB":
        return _with_color(image, np.where(v <= 0.0031308, v * 12.92, 1.055 * v ** (1 / 2.4) - 0.055))
    assert knobs["colorspace_in"] == "sRGB"
    return _with_color(image, np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4))


def _premult(image: np.ndarray, knobs: dict[str, str]) -> np.ndarray:
    return _with_color(image, image[..., :3] * image[..., 3:])


def _unpremult(image: np.ndarray, knobs: dict[str, str]) -> np.ndarray:
    alpha = image[..., 3:]
    return _with_color(image, np.where(alpha > 0, image[..., :3] / np.where(alpha > 0, alpha, 1), image[..., :3]))


def _merge(knobs: dict[str, str], inputs: list[Any], frame: int, folder: Path) -> Image:
    assert knobs["operation"] == "over" and len(inputs) == 2
    below, above = inputs[0]()["rgba"], inputs[1]()["rgba"]
    return {"rgba": above + below * (1 - above[..., 3:])}


def _shuffle(knobs: dict[str, str], inputs: list[Any], frame: int, folder: Path) -> Image:
    image = inputs[0]()
    return image | {"rgba": image[knobs["in"]]}


def _switch(knobs: dict[str, str], inputs: list[Any], frame: int, folder: Path) -> Image:
    match = re.fullmatch(r"\{\{curve K (.*)\}\}", knobs["which"])
    assert match
    words = match[1].split()
    keys = [(int(at[1:]), int(value)) for at, value in zip(words[::2], words[1::2], strict=True)]
    return inputs[[value for at, value in keys if at <= frame][-1]]()


_OPERATORS: dict[str, Any] = {
    "Read": _read,
    "Gamma": _on_rgba(_gamma),
    "Colorspace": _on_rgba(_colorspace),
    "Premult": _on_rgba(_premult),
    "Unpremult": _on_rgba(_unpremult),
    "Merge2": _merge,
    "Shuffle": _shuffle,
    "Switch": _switch,
    "Write": lambda knobs, inputs, frame, folder: inputs[0](),
}
