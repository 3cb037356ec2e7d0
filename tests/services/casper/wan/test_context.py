"""What Wan is told and shown besides the video: prompt and first frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel, PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from services.casper.large.kept import DEFAULT_PROMPT
from services.casper.wan import image_context, text
from services.errors import BadOption


@pytest.fixture(scope="module")
def encoder() -> Any:
    torch.manual_seed(0)
    config = UMT5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    return UMT5EncoderModel(config).eval()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    words = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", "empty", "scene", "beach"])}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def test_a_prompt_is_what_the_masked_encoder_says_of_512_tokens_cut_and_filled_with_zeros(
    tokenizer: Any, encoder: Any
) -> None:
    given = tokenizer("empty scene", padding="max_length", max_length=512, return_tensors="pt")
    assert given.attention_mask.sum() == 3
    with torch.no_grad():
        whole = encoder(given.input_ids, attention_mask=given.attention_mask).last_hidden_state
    wanted = torch.zeros(1, 512, 16)
    wanted[:, :3] = whole[:, :3]

    found = text.padded(text.encoded("empty scene", tokenizer=tokenizer, model=encoder))
    assert found.shape == (1, 512, 16)
    assert torch.equal(found[:, 3:], torch.zeros(1, 509, 16))
    assert (found - wanted).abs().max() < 1e-5


def test_a_prompt_that_is_too_long_is_refused(tokenizer: Any, encoder: Any) -> None:
    assert len(text.encoded("beach " * 511, tokenizer=tokenizer, model=encoder)) == 512
    with pytest.raises(BadOption, match=r"513 tokens.*shorten") as caught:
        text.encoded("beach " * 512, tokenizer=tokenizer, model=encoder)
    assert caught.value.field == "prompt"


def test_the_encoder_is_read_for_an_unknown_prompt_only(tmp_path: Path) -> None:
    read: list[str] = []

    def encode(prompt: str) -> Tensor:
        read.append(prompt)
        return torch.full((len(prompt), 4), 0.5)

    prompts = text.Prompts(tmp_path, lambda: encode)
    first = prompts(DEFAULT_PROMPT)
    assert torch.equal(prompts(DEFAULT_PROMPT), first)
    assert torch.equal(text.Prompts(tmp_path, lambda: encode)(DEFAULT_PROMPT), first)
    assert read == ["empty scene"]
    assert first.shape == (1, 512, 4)
    assert first[0, :, 0].sum() == len("empty scene") / 2


def test_a_kept_embedding_that_is_not_the_prompts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / text.file_name("a beach")
    text.write(path, "a street", torch.zeros(3, 4))
    with pytest.raises(BadOption, match="another embedding"):
        text.Prompts(tmp_path, pytest.fail)("a beach")
    path.write_bytes(b"not a file of tensors")
    with pytest.raises(BadOption, match="delete it"):
        text.read(path, "a beach")


def test_the_first_frame_is_seen_by_the_last_but_one_layer() -> None:
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, patch_size=14
    )
    model = CLIPVisionModel(config).eval()
    frame = np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8)

    image = torch.from_numpy(frame).permute(2, 0, 1)[None] / 255
    image = F.interpolate(image * 2 - 1, size=(224, 224), mode="bicubic", align_corners=False) * 0.5 + 0.5
    for channel, (mean, spread) in enumerate(
        [(0.48145466, 0.26862954), (0.4578275, 0.26130258), (0.40821073, 0.27577711)]
    ):
        image[:, channel] = (image[:, channel] - mean) / spread
    assert (image_context.prepared(frame) - image).abs().max() < 1e-5

    hidden = model.pre_layrnorm(model.embeddings(image))
    for layer in list(model.encoder.layers)[:-1]:
        out = layer(hidden, None)
        hidden = out[0] if isinstance(out, tuple) else out
    found = image_context.first_frame(frame, model=model)
    assert found.shape == (1, 257, 16)
    assert (found - hidden).abs().max() < 1e-5


def test_no_context_is_zeros_of_the_same_shape() -> None:
    assert torch.equal(image_context.zeros(), torch.zeros(1, 257, 1280))
