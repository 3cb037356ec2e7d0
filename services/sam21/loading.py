"""A folder with weights -> a segmenter that is ready to run.

The folder holds `model.safetensors` and `config.json`, as `transformers` saves them, or an original checkpoint (`*.pt`,
or a `model.safetensors` with the original names) whose variant the caller names. Nothing is fetched. Must not know:
where folders come from.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import EdgeTamVideoConfig, Sam2VideoConfig, Sam2VideoModel
from transformers.models.edgetam.configuration_edgetam import EdgeTamVisionConfig

from services.checkpoint.config import read_json
from services.checkpoint.files import open_checkpoint
from services.checkpoint.loading import load_into
from services.engines import Network
from services.errors import BadOption, NotFound
from services.sam21 import names, variants
from services.sam21.exported import ExportedEncoder
from services.sam21.repvit import edgetam
from services.sam21.segmenter import Segmenter

WEIGHTS, CONFIG = "model.safetensors", "config.json"


def weights_file(folder: Path) -> Path:
    """The checkpoint in `folder`. Raises NotFound."""
    found = [folder / WEIGHTS] if (folder / WEIGHTS).is_file() else sorted(folder.glob("*.pt"))
    if len(found) != 1:
        raise NotFound(
            f"there are no weights of a segmenter in {folder}: it needs {WEIGHTS} or one .pt file; "
            "get them with `omnimatte weights pull sam2.1-large`."
        )
    return found[0]


def load(
    folder: Path,
    *,
    variant: str = "",
    device: torch.device | None = None,
    precision: torch.dtype | None = None,
    encoder: Network | None = None,
) -> Segmenter:
    """The segmenter in `folder`.

    Args:
        folder: see above.
        variant: one of `variants.VARIANTS`; needed only where the folder has no `config.json`.
        device: by default the accelerator that torch finds, else the CPU.
        precision: of encoder and memory; by default bfloat16 on an accelerator, float32 on the CPU.
        encoder: the image encoder as an exported network (SAM 2.1 only); by default PyTorch's.

    Raises:
        NotFound: there are no weights.
        BadOption: the weights are broken or belong to another model; names the tensor.
    """
    path = weights_file(folder)
    config = _config(folder, variant)
    model = edgetam(config) if isinstance(config, EdgeTamVideoConfig) else Sam2VideoModel(config)
    checkpoint = open_checkpoint(path, inside="model")
    if names.is_original(checkpoint.stored):
        checkpoint = checkpoint.converted(names.renamed)
    load_into(model, checkpoint, dtype=torch.float32)
    if encoder is not None:
        model.vision_encoder = ExportedEncoder(encoder, positions=model.vision_encoder.neck.position_encoding)
    device = device or best_device()
    usual = torch.float32 if device.type == "cpu" else torch.bfloat16
    return Segmenter(model, device=device, precision=precision or usual)


def best_device() -> torch.device:
    """The accelerator that torch finds, else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def _config(folder: Path, variant: str) -> Sam2VideoConfig | EdgeTamVideoConfig:
    path = folder / CONFIG
    if not path.is_file():
        if not variant:
            raise BadOption(
                f"{folder} has no {CONFIG}; say which segmenter it holds: {', '.join(variants.VARIANTS)}.",
                field="variant",
            )
        return variants.config(variant)
    data = read_json(path)
    kind = data.get("model_type")
    if kind == "edgetam_video":
        return EdgeTamVideoConfig(**{**data, "vision_config": EdgeTamVisionConfig(**data.get("vision_config", {}))})
    if kind != "sam2_video":
        raise BadOption(f"{path} is of a {kind!r} model; a segmenter is 'sam2_video' or 'edgetam_video'.")
    return Sam2VideoConfig(**data)
