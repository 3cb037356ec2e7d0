"""Reading Wan's parts from a folder: the release's own files, or the folders of diffusers' layout.

| part | the release's file | diffusers' folder |
|---|---|---|
| Casper, whole (1.3B) or an adapter (14B) | `casper.safetensors` | |
| the denoiser that an adapter changes | `diffusion_pytorch_model.safetensors` | `transformer/` |
| VAE | `Wan2.1_VAE.pth` | `vae/` |
| UMT5 and its tokenizer | `models_t5_umt5-xxl-enc-bf16.pth`, `google/umt5-xxl/` | `text_encoder/`, `tokenizer/` |
| CLIP | `models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth` | `image_encoder/` |

What `casper.safetensors` is, its tensors' names say. Every file is loaded strictly: a tensor that is missing, unknown
or of another shape is named. Must not know: clips, devices beyond "cpu".
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor

from services.casper.large.checkpoint import Checkpoint, Stored, load_into, open_checkpoint
from services.casper.wan import encoder_keys, keys, lora
from services.casper.wan.network import SHAPES, Size, build, shape_of, weight_dtype
from services.casper.wan.text import Encoder, encoded
from services.errors import BadOption, NotFound

CASPER = "casper.safetensors"
DENOISER = ("diffusion_pytorch_model.safetensors", "transformer")
VAE = ("Wan2.1_VAE.pth", "vae")
UMT5 = ("models_t5_umt5-xxl-enc-bf16.pth", "text_encoder")
TOKENIZER = ("google/umt5-xxl", "tokenizer")
CLIP = ("models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth", "image_encoder")
PROMPTS = "prompts"

# Their classes are only half typed.
_models: Any = diffusers


def read_denoiser(folder: Path, size: Size, *, dtype: torch.dtype, casper: Path | None = None) -> Any:
    """Casper's denoiser on the CPU: the whole one, or the base model with the adapter merged in.

    casper: the file of either, if it is not `folder`/casper.safetensors.
    Raises NotFound for a missing file, BadOption for a tensor that does not fit, by name.
    """
    shape = shape_of(asdict(SHAPES[size]) | _config(folder / "transformer"))
    given = open_checkpoint(casper or folder / CASPER)
    adapter = all(name.startswith(lora.PREFIX) for name in given.stored)
    network = build(shape)
    whole = open_checkpoint(_existing(folder, DENOISER, "the base model of the adapter")) if adapter else given
    load_into(network, whole, rename=_rename(whole, keys.transformer_to_diffusers), dtype=dtype)
    if adapter:
        lora.merge(network, dict(given.tensors()))
    for name, weight in network.named_parameters():
        weight.data = weight.data.to(weight_dtype(network, name, dtype))
    return network


def read_vae(folder: Path, *, dtype: torch.dtype) -> Any:
    """AutoencoderKLWan on the CPU. Raises NotFound, BadOption."""
    path = _existing(folder, VAE, "the VAE")
    with torch.device("meta"):
        vae = _models.AutoencoderKLWan.from_config(_config(folder / "vae"))
    checkpoint = open_pickled(path) if path.suffix == ".pth" else open_checkpoint(path)
    load_into(vae, checkpoint, rename=_rename(checkpoint, keys.vae_to_diffusers), dtype=dtype)
    return vae.eval().requires_grad_(False)


def read_text_encoder(folder: Path) -> Encoder:
    """UMT5 on the CPU, as a function of the prompt. Raises NotFound, BadOption."""
    from transformers import AutoTokenizer, UMT5Config, UMT5EncoderModel

    tokenizer = AutoTokenizer.from_pretrained(_existing(folder, TOKENIZER, "UMT5's tokenizer"), local_files_only=True)
    path = _existing(folder, UMT5, "the text encoder UMT5-XXL")
    model: Any
    if path.is_dir():
        model = UMT5EncoderModel.from_pretrained(path, dtype=torch.bfloat16, local_files_only=True)
    else:
        with torch.device("meta"):
            model = UMT5EncoderModel(
                UMT5Config(vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64)
            )
        load_into(model, open_pickled(path, convert=encoder_keys.umt5), dtype=torch.bfloat16)
    model.eval()
    return lambda prompt: encoded(prompt, tokenizer=tokenizer, model=model)


def read_image_encoder(folder: Path, *, dtype: torch.dtype) -> Any:
    """CLIP ViT-H's image half (CLIPVisionModel) on the CPU. Raises NotFound, BadOption."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    path = _existing(folder, CLIP, "the image encoder CLIP ViT-H")
    model: Any
    if path.is_dir():
        model = CLIPVisionModel.from_pretrained(path, dtype=dtype, local_files_only=True)
    else:
        config = CLIPVisionConfig(
            hidden_size=1280,
            intermediate_size=5120,
            num_hidden_layers=32,
            num_attention_heads=16,
            image_size=224,
            patch_size=14,
            hidden_act="gelu",
        )
        model = CLIPVisionModel(config)
        # Older releases of transformers put the model one level deeper.
        nested = any(name.startswith("vision_model.") for name in model.state_dict())
        checkpoint = open_pickled(path, convert=encoder_keys.clip)
        load_into(model, checkpoint, rename=lambda name: f"vision_model.{name}" if nested else name, dtype=dtype)
    return model.eval().requires_grad_(False)


@dataclass(frozen=True)
class Pickled(Checkpoint):
    """A .pth file's tensors; they are mapped from the file, not read, until somebody asks for their values."""

    content: Mapping[str, Tensor]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.content.items()


def open_pickled(
    path: Path, *, convert: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict[str, Tensor]
) -> Pickled:
    """The tensors in a .pth file, after `convert`. Code in the file is not run. Raises BadOption for a broken one."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise BadOption(
            f"{path} is truncated or no file of tensors ({error}; it has {path.stat().st_size} bytes); "
            "copy or download it again."
        ) from error
    converted = convert(content)
    stored = {name: Stored(path, name, tuple(tensor.shape)) for name, tensor in converted.items()}
    return Pickled(path, stored, converted)


def _config(folder: Path) -> dict[str, Any]:
    """A part's configuration where there is one; the published model's needs none."""
    file = folder / "config.json"
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text()))
    except ValueError as error:
        raise BadOption(f"{file} is no JSON ({error}); copy or download it again.") from error


def _rename(checkpoint: Checkpoint, to_diffusers: keys.Rename) -> keys.Rename:
    return to_diffusers if keys.is_original(checkpoint.stored) else lambda name: name


def _existing(folder: Path, names: tuple[str, str], what: str) -> Path:
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise NotFound(f"{folder} has neither {names[0]} nor {names[1]}/, {what}; put it there.")
