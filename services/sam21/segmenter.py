"""SAM 2.1 or EdgeTAM as five functions: embed a frame, begin an object, follow it, correct it, remember it.

The networks are `transformers`' own (Sam2VideoModel, EdgeTamVideoModel); encoder and decoder stay together. Its session
class is not used: it keeps every frame and every output, forgets a correction at the next pass, and never shows the
decoder the mask that a click corrects. The steps that its forward is made of are called one by one instead.

Image encoder and memory run in `precision`. The decoder runs in float32: it is small, and bfloat16 would move a click
by up to four of the 1024 pixels. Must not know: clips, sweeps, files. Ravi et al., "SAM 2: Segment Anything in Images
and Videos", 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from services.sam21 import images
from services.sam21.memory import FEATURES, POINTER, POSITIONS, Bank, Entry, Reach
from services.sam21.prompts import Hint

# How far a mask that the decoder is asked to improve may be from undecided; more upsets it.
_SUREST = 32.0
# Logits of a mask that the user drew.
_DRAWN = 10.0
_POSITIVE, _NEGATIVE, _TOP_LEFT, _BOTTOM_RIGHT = 1, 0, 2, 3


@dataclass(frozen=True, eq=False)
class Embedding:
    """A frame as the image encoder sees it: per level, fine to coarse, features and positions [h*w, 1, C]."""

    features: tuple[Tensor, ...]
    positions: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Found:
    """An object on a frame: logits [1, h, w] at a quarter of the model's size, pointer [1, 1, C], score [1, 1, 1]."""

    logits: Tensor
    pointer: Tensor
    score: Tensor


@dataclass(frozen=True)
class Moment:
    """Where a track is: frame `frame` of a clip of `length` frames, going back in time if `backward`."""

    frame: int
    length: int
    backward: bool


@dataclass(frozen=True, eq=False)
class _Session:
    """What the model's memory attention wants to see of a session."""

    output_dict_per_obj: dict[int, dict[str, dict[int, Entry]]]
    dtype: torch.dtype = torch.float32


class Segmenter:
    """The model, ready to run."""

    def __init__(self, model: Any, *, device: torch.device, precision: torch.dtype) -> None:
        """`model` is a Sam2VideoModel or an EdgeTamVideoModel with float32 weights."""
        self._model = model.to(device).eval().requires_grad_(False)
        self._config = model.config
        self.device = device
        self.precision = precision
        self.size = int(model.image_size)

    @property
    def encoder(self) -> Any:
        """The image encoder alone, to be exported: transformers' Sam2VisionModel."""
        return self._model.vision_encoder

    @property
    def reach(self) -> Reach:
        """How far the model looks back in time."""
        return Reach(spatial=self._config.num_maskmem - 1, pointers=self._config.max_object_pointers_in_encoder - 1)

    @torch.inference_mode()
    def embed(self, frame: NDArray[Any]) -> Embedding:
        """Encode an RGB frame [H, W, 3], uint8 or uint16."""
        with self._fast():
            seen = self._model.get_image_features(images.squared(frame, size=self.size, device=self.device))
        return Embedding(tuple(f.float() for f in seen.fpn_hidden_states), tuple(seen.fpn_position_encoding))

    @torch.inference_mode()
    def begin(self, embedding: Embedding, hint: Hint, *, height: int, width: int) -> Found:
        """Find the object that `hint` states, without memory. The frame is `height` x `width` pixels."""
        if hint.mask is not None and not hint.points and hint.box is None:
            return self._as_drawn(embedding, hint.mask)
        before = None if hint.mask is None else self._drawn(hint.mask)
        memory = embedding.features[-1] + self._model.no_memory_embedding
        return self._decode(embedding, self._map(memory), self._clicks(hint, height, width), before, begins=True)

    @torch.inference_mode()
    def follow(self, embedding: Embedding, bank: Bank, moment: Moment) -> Found:
        """Find the object of `bank` on the frame of `moment`. The bank must hold a frame that the user spoke about."""
        return self._decode(embedding, self._remembering(embedding, bank, moment), None, None, begins=False)

    @torch.inference_mode()
    def correct(
        self, embedding: Embedding, bank: Bank, moment: Moment, hint: Hint, *, height: int, width: int
    ) -> Found:
        """Follow the object, then let the clicks of `hint` correct what was found."""
        memory = self._remembering(embedding, bank, moment)
        found = self._decode(embedding, memory, None, None, begins=False)
        before = found.logits[None].clamp(-_SUREST, _SUREST)
        return self._decode(embedding, memory, self._clicks(hint, height, width), before, begins=False)

    @torch.inference_mode()
    def remember(self, embedding: Embedding, found: Found, *, told: bool) -> Entry:
        """The memory of a frame. `told`: the user spoke about it, so the mask is taken as certain."""
        full = F.interpolate(found.logits[None], size=(self.size, self.size), mode="bilinear", align_corners=False)
        with self._fast():
            features, positions = self._model._encode_new_memory(
                current_vision_feats=embedding.features[-1],
                pred_masks_high_res=full,
                object_score_logits=found.score,
                is_mask_from_pts=told,
            )
        return {FEATURES: features, POSITIONS: positions, POINTER: found.pointer[0]}

    def _fast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)

    def _map(self, flat: Tensor) -> Tensor:
        """[h*w, 1, C] -> [1, C, h, w], of the coarsest level."""
        height, width = self._model.backbone_feature_sizes[-1]
        return flat.permute(1, 2, 0).reshape(1, -1, height, width)

    def _levels(self, embedding: Embedding) -> list[Tensor]:
        """The finer levels as maps [1, C, h, w]."""
        sizes = self._model.backbone_feature_sizes[:-1]
        return [f.permute(1, 2, 0).reshape(1, -1, *s) for f, s in zip(embedding.features[:-1], sizes, strict=True)]

    def _remembering(self, embedding: Embedding, bank: Bank, moment: Moment) -> Tensor:
        """The coarsest level after it has looked at the memories, [1, C, h, w]."""
        with self._fast():
            seen: Tensor = self._model._prepare_memory_conditioned_features(
                inference_session=_Session({0: bank.entries}),
                frame_idx=moment.frame,
                obj_idx=0,
                is_initial_conditioning_frame=False,
                current_vision_features=embedding.features[-1],
                current_vision_positional_embeddings=embedding.positions[-1],
                num_total_frames=moment.length,
                track_in_reverse_time=moment.backward,
            )
        return seen.float()

    def _clicks(self, hint: Hint, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Points [1, 1, P, 2] in the model's pixels, and what they are [1, 1, P]; a box is two corners, first."""
        places: list[tuple[float, float]] = []
        kinds: list[int] = []
        if hint.box is not None:
            places, kinds = [hint.box[:2], hint.box[2:]], [_TOP_LEFT, _BOTTOM_RIGHT]
        for place, positive in hint.points:
            places.append(place)
            kinds.append(_POSITIVE if positive else _NEGATIVE)
        scale = np.array([self.size / width, self.size / height], np.float32)
        points = torch.from_numpy(np.array(places, np.float32) * scale).to(self.device)
        return points[None, None], torch.tensor(kinds, dtype=torch.int32, device=self.device)[None, None]

    def _decode(
        self,
        embedding: Embedding,
        memory: Tensor,
        clicks: tuple[Tensor, Tensor] | None,
        before: Tensor | None,
        *,
        begins: bool,
    ) -> Found:
        points, kinds = clicks if clicks is not None else (None, None)
        config, number = self._config, 0 if kinds is None else kinds.shape[-1]
        several = (
            config.multimask_output_in_sam
            and (begins or config.multimask_output_for_tracking)
            and config.multimask_min_pt_num <= number <= config.multimask_max_pt_num
        )
        out = self._model._single_frame_forward(
            input_points=points,
            input_labels=kinds,
            input_masks=before,
            image_embeddings=[*self._levels(embedding), memory],
            multimask_output=several,
        )
        return _found(out)

    def _as_drawn(self, embedding: Embedding, mask: NDArray[Any]) -> Found:
        drawn = images.squared_mask(mask, size=self.size, device=self.device)
        coarse = self._map(embedding.features[-1])
        return _found(self._model._use_mask_as_output(coarse, self._levels(embedding), drawn))

    def _drawn(self, mask: NDArray[Any]) -> Tensor:
        """A coarse mask as the logits [1, 1, h, w] that the decoder may improve."""
        drawn = images.squared_mask(mask, size=self.size, device=self.device)
        size = self._model.prompt_encoder.mask_input_size
        logits = drawn * 2 * _DRAWN - _DRAWN
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False, antialias=True)


def _found(out: Any) -> Found:
    height, width = out.pred_masks.shape[-2:]
    logits = out.pred_masks.reshape(1, height, width)
    return Found(logits, out.object_pointer.reshape(1, 1, -1), out.object_score_logits.reshape(1, 1, 1))
