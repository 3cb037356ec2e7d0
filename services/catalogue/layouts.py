"""Names and shapes of the tensors in Casper's published checkpoints, by which a file is recognised and checked.

The names are those of the release (VideoX-Fun). Nothing is read here: a layout is compared with what the header of a
file says. Must not know: files, diffusers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

_COG_WIDTH, _COG_LAYERS, _COG_TEXT, _COG_TIME = 3072, 42, 4096, 512
_LORA = "lora_unet__"


@dataclass(frozen=True)
class Layout:
    """One kind of checkpoint."""

    kind: Literal["cogvideox", "wan", "wan-adapter"]
    width: int
    """Channels of the transformer."""
    hidden: int
    """Channels inside of its feed-forward layers."""
    layers: int

    def mismatch(self, found: Shapes) -> str:
        """What is wrong with a checkpoint whose tensors are `found`, naming the tensor; "" if it is this one."""
        if self.kind == "wan-adapter":
            return _adapter_mismatch(self, found)
        return _whole_mismatch(_expected(self), found)

    def resembles(self, found: Shapes) -> bool:
        """Whether a checkpoint is meant to be of this kind and size, complete or not."""
        if self.kind == "wan-adapter":
            return any(name.startswith(_LORA) for name in found)
        expected = _expected(self)
        fitting = sum(expected.get(name) == shape for name, shape in found.items())
        return fitting > len(found) // 2


def cogvideox() -> Layout:
    """CogVideoX-Fun-V1.5-5b-InP's transformer: 33 channels in, patches of 2x2x2."""
    return Layout("cogvideox", width=_COG_WIDTH, hidden=4 * _COG_WIDTH, layers=_COG_LAYERS)


def wan_small() -> Layout:
    """Wan2.1-Fun-1.3B-InP's transformer."""
    return Layout("wan", width=1536, hidden=8960, layers=30)


def wan_large_adapter() -> Layout:
    """A low-rank adapter for Wan2.1-Fun-14B-InP's transformer."""
    return Layout("wan-adapter", width=5120, hidden=13824, layers=40)


@lru_cache(maxsize=4)
def _expected(layout: Layout) -> dict[str, Shape]:
    return _cogvideox(layout) if layout.kind == "cogvideox" else _wan(layout)


def _whole_mismatch(expected: Shapes, found: Shapes) -> str:
    for name, shape in expected.items():
        if name not in found:
            return f"tensor {name!r} is missing"
        if found[name] != shape:
            return f"tensor {name!r} is {list(found[name])} and should be {list(shape)}"
    extra = next((name for name in found if name not in expected), None)
    return f"tensor {extra!r} does not belong to it" if extra else ""


def _adapter_mismatch(layout: Layout, found: Shapes) -> str:
    """Every low-rank pair must fit its layer; which layers have one is the adapter's own choice."""
    sizes = {_LORA + name.replace(".", "_"): shape for name, shape in _linears(layout).items()}
    down, up, scale = ".lora_down.weight", ".lora_up.weight", ".alpha"
    for name, shape in found.items():
        layer = next((name.removesuffix(end) for end in (down, up, scale) if name.endswith(end)), None)
        if layer is None or layer not in sizes:
            return f"tensor {name!r} does not belong to it"
        outputs, inputs = sizes[layer]
        first, second = found.get(layer + down), found.get(layer + up)
        if first is None or second is None:
            return f"tensor {(layer + (up if second is None else down))!r} is missing"
        rank = first[0] if first else 0
        if name.endswith(down) and shape != (rank, inputs):
            return f"tensor {name!r} is {list(shape)} and should be [rank, {inputs}]"
        if name.endswith(up) and shape != (outputs, rank):
            return f"tensor {name!r} is {list(shape)} and should be [{outputs}, {rank}]"
    blocks = [f"{_LORA}blocks_{layer}_self_attn_q{down}" for layer in range(layout.layers)]
    missing = next((name for name in blocks if name not in found), None)
    return f"tensor {missing!r} is missing" if missing else ""


def _cogvideox(layout: Layout) -> dict[str, Shape]:
    width, hidden = layout.width, layout.hidden
    shapes = _linear("patch_embed.proj", width, 33 * 8) | _linear("patch_embed.text_proj", width, _COG_TEXT)
    shapes |= _linear("time_embedding.linear_1", _COG_TIME, width)
    shapes |= _linear("time_embedding.linear_2", _COG_TIME, _COG_TIME)
    for number in range(layout.layers):
        block = f"transformer_blocks.{number}"
        for norm in ("norm1", "norm2"):
            shapes |= _linear(f"{block}.{norm}.linear", 6 * width, _COG_TIME) | _norm(f"{block}.{norm}.norm", width)
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            shapes |= _linear(f"{block}.attn1.{part}", width, width)
        for part in ("norm_q", "norm_k"):
            shapes |= _norm(f"{block}.attn1.{part}", 64)
        shapes |= _linear(f"{block}.ff.net.0.proj", hidden, width) | _linear(f"{block}.ff.net.2", width, hidden)
    shapes |= _norm("norm_final", width)
    shapes |= _linear("norm_out.linear", 2 * width, _COG_TIME) | _norm("norm_out.norm", width)
    return shapes | _linear("proj_out", 16 * 8, width)


def _wan(layout: Layout) -> dict[str, Shape]:
    width = layout.width
    shapes: dict[str, Shape] = {
        "patch_embedding.weight": (width, 36, 1, 2, 2),
        "patch_embedding.bias": (width,),
        "head.modulation": (1, 2, width),
    }
    for name, (outputs, inputs) in _linears(layout).items():
        shapes |= _linear(name, outputs, inputs)
    shapes |= _norm("img_emb.proj.0", 1280) | _norm("img_emb.proj.4", width)
    for number in range(layout.layers):
        block = f"blocks.{number}"
        shapes[f"{block}.modulation"] = (1, 6, width)
        shapes |= _norm(f"{block}.norm3", width)
        for part in ("self_attn.norm_q", "self_attn.norm_k", "cross_attn.norm_q", "cross_attn.norm_k"):
            shapes[f"{block}.{part}.weight"] = (width,)
        shapes[f"{block}.cross_attn.norm_k_img.weight"] = (width,)
    return shapes


def _linears(layout: Layout) -> dict[str, tuple[int, int]]:
    """Wan's linear layers: name -> (outputs, inputs)."""
    width, hidden = layout.width, layout.hidden
    sizes = {
        "text_embedding.0": (width, 4096),
        "text_embedding.2": (width, width),
        "time_embedding.0": (width, 256),
        "time_embedding.2": (width, width),
        "time_projection.1": (6 * width, width),
        "img_emb.proj.1": (1280, 1280),
        "img_emb.proj.3": (width, 1280),
        "head.head": (64, width),
    }
    for number in range(layout.layers):
        block = f"blocks.{number}"
        for part in ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o"):
            sizes[f"{block}.{part}"] = (width, width)
        for part in ("cross_attn.q", "cross_attn.k", "cross_attn.v", "cross_attn.o"):
            sizes[f"{block}.{part}"] = (width, width)
        for part in ("cross_attn.k_img", "cross_attn.v_img"):
            sizes[f"{block}.{part}"] = (width, width)
        sizes[f"{block}.ffn.0"] = (hidden, width)
        sizes[f"{block}.ffn.2"] = (width, hidden)
    return sizes


def _linear(name: str, outputs: int, inputs: int) -> dict[str, Shape]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> dict[str, Shape]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
