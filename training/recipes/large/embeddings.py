"""Where text and image embeddings come from: computed once per caption and kept, or invented for tests.

The encoders are larger than a small GPU; a caption is encoded once and then only looked up. Must not know: the
denoisers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from services.errors import BadOption

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_SPREAD = (0.26862954, 0.26130258, 0.27577711)

TextEncoder = Callable[[str], Tensor]
"""A caption to its embedding [tokens, channels]."""
ImageEncoder = Callable[[Tensor], Tensor]
"""First frames [B, 3, H, W] in 0..1 to their context [B, tokens, channels]."""


class CachedText:
    """Embeddings [B, tokens, channels] of captions; each caption is encoded once."""

    def __init__(self, encode: TextEncoder) -> None:
        self._encode = encode
        self._known: dict[str, Tensor] = {}

    def __call__(self, captions: Sequence[str]) -> Tensor:
        for caption in captions:
            if caption not in self._known:
                self._known[caption] = self._encode(caption).detach().cpu()
        return torch.stack([self._known[caption] for caption in captions])


def invented_text(*, tokens: int, channels: int) -> TextEncoder:
    """Noise that depends on the caption only, for networks without meaning."""

    def encode(caption: str) -> Tensor:
        seed = int.from_bytes(caption.encode()[:6].ljust(6), "big")
        return torch.randn(tokens, channels, generator=torch.Generator().manual_seed(seed))

    return encode


def invented_image(*, tokens: int, channels: int) -> ImageEncoder:
    """A context that depends on the frame's mean colour only."""
    return lambda frames: frames.mean(dim=(1, 2, 3))[:, None, None].expand(-1, tokens, channels)


def t5(base: Path, *, tokens: int, masked: bool, device: str = "cpu") -> TextEncoder:
    """The text encoder in `base`, read when the first caption comes.

    masked: with an attention mask, and zeros after the caption's end (Wan); otherwise neither (CogVideoX).
    """
    loaded: list[Any] = []

    def encode(caption: str) -> Tensor:
        if not loaded:
            loaded.extend(_text_models(base, device=device))
        tokenizer, model = loaded
        given = tokenizer(
            caption,
            padding="max_length",
            max_length=tokens,
            truncation=True,
            add_special_tokens=True,
            return_tensors="pt",
        ).to(device)
        with torch.inference_mode():
            mask = given.attention_mask if masked else None
            embedding: Tensor = model(given.input_ids, attention_mask=mask).last_hidden_state[0]
        return (embedding * given.attention_mask[0, :, None] if masked else embedding).clone()

    return encode


def _text_models(base: Path, *, device: str) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoTokenizer, T5EncoderModel, UMT5EncoderModel

    folder = existing(base, "text_encoder")
    kind = UMT5EncoderModel if AutoConfig.from_pretrained(folder).model_type == "umt5" else T5EncoderModel
    model: Any = kind.from_pretrained(folder, dtype=torch.bfloat16, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(existing(base, "tokenizer"), local_files_only=True)
    return tokenizer, model.eval().to(device)


def clip_vision(base: Path) -> ImageEncoder:
    """The CLIP image encoder in `base`: its penultimate layer, 257 tokens."""
    from transformers import CLIPVisionModel

    model: Any = CLIPVisionModel.from_pretrained(
        existing(base, "image_encoder"), dtype=torch.bfloat16, local_files_only=True
    )
    model.eval().requires_grad_(False)

    def encode(frames: Tensor) -> Tensor:
        model.to(frames.device)
        small = F.interpolate(frames, size=(224, 224), mode="bicubic", align_corners=False)
        mean, spread = (torch.tensor(v, device=frames.device)[:, None, None] for v in (_CLIP_MEAN, _CLIP_SPREAD))
        with torch.no_grad():
            hidden: Tensor = model(((small - mean) / spread).to(model.dtype), output_hidden_states=True).hidden_states[
                -2
            ]
        return hidden

    return encode


def existing(base: Path, part: str) -> Path:
    """The folder of one part of a pretrained model. Raises BadOption if it is not there."""
    folder = base / part
    if not folder.is_dir():
        raise BadOption(f"{base} has no folder {part!r}; --base must be a local model in diffusers' layout.")
    return folder
