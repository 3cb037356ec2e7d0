"""A layer restyled by an image-to-image pipeline of diffusers: a tiny one, random, saved as users have them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionImg2ImgPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from services.compose.main import compose
from services.errors import BadOption
from services.stills import read_png
from tests.services.finish.scene import make_job, make_scene


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory) -> Path:
    """The folder of a pipeline."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("pipeline")
    words = ["<|startoftext|>", "<|endoftext|>", "a</w>", "p", "a"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=8)
    text = CLIPTextConfig(
        vocab_size=5, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        max_position_embeddings=8, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=16, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, cross_attention_dim=8,
        attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    whole = StableDiffusionImg2ImgPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=unet,
        scheduler=EulerDiscreteScheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    whole.save_pretrained(folder / "model")
    return folder / "model"


def styled(folder: Path, model: str) -> dict:
    wish = {"model": model, "prompt": "a pa", "strength": 0.5, "steps": 2, "seed": 1}
    return {
        "source": str(folder),
        "layers": {"cup": {"remove": True}, "ball": {"stylise": {"diffusers": wish}}},
        "background": "none",
        "output": {"format": "png", "alpha": True},
    }


@pytest.fixture(scope="module")
def delivery(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("delivery")
    done = make_job(root / "job", make_scene(2)).finish()
    for path in done.manifest.files:
        (root / "out" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "out" / path).write_bytes(done.read(path))
    return root / "out"


def test_a_pipeline_changes_colours_keeps_alpha_and_gives_the_same_again(pipeline, delivery, tmp_path):
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(styled(delivery, str(pipeline))))
    first = compose(tmp_path / "e.yaml", tmp_path / "a", quiet=True)
    second = compose(tmp_path / "e.yaml", tmp_path / "b", quiet=True)
    for t in range(2):
        name = f"{t:05d}.png"
        image = read_png((first / name).read_bytes(), name)
        layer = read_png((delivery / "layers/ball" / name).read_bytes(), name)
        assert np.array_equal(image[..., 3], layer[..., 3])
        solid = layer[..., 3] == 255
        assert np.abs(image[solid][:, :3].astype(int) - layer[solid][:, :3]).mean() > 5
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_a_pipeline_that_is_not_there_is_named(delivery, tmp_path):
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(styled(delivery, str(tmp_path / "nowhere"))))
    with pytest.raises(BadOption, match="cannot be loaded"):
        compose(tmp_path / "e.yaml", tmp_path / "a", quiet=True)
    assert not (tmp_path / "a").exists()
