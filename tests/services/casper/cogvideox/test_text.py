"""Text embeddings: kept ones need no encoder, new ones are kept, long prompts are refused."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from services.casper.cogvideox.text import embedding_file, main, prompt_embedding
from services.errors import BadOption, NotFound


def with_encoder(folder: Path) -> Path:
    words = {word: i for i, word in enumerate(["<pad>", "<unk>", "a", "beach", "empty", "scene"])}
    plain = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", unk_token="<unk>").save_pretrained(
        folder / "tokenizer"
    )
    torch.manual_seed(0)
    config = T5Config(vocab_size=6, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    T5EncoderModel(config).save_pretrained(folder / "text_encoder")
    return folder


def test_a_kept_embedding_needs_no_encoder(weights: Path) -> None:
    found = prompt_embedding(weights, "empty scene", tokens=8, channels=16)
    assert found.shape == (1, 8, 16)
    assert embedding_file(weights, "empty scene").name.startswith("empty_scene-")


def test_without_encoder_an_unknown_prompt_says_what_to_do(weights: Path) -> None:
    with pytest.raises(NotFound, match=r"use the prompt 'empty scene', or run `python -m services.*'a beach'`"):
        prompt_embedding(weights, "a beach", tokens=8, channels=16)


def test_a_new_prompt_is_encoded_without_a_mask_and_kept(tmp_path: Path) -> None:
    folder = with_encoder(tmp_path)
    found = prompt_embedding(folder, "a beach", tokens=8, channels=16)
    with torch.inference_mode():
        model = T5EncoderModel.from_pretrained(folder / "text_encoder").eval()
        ids = torch.tensor([[2, 3, 0, 0, 0, 0, 0, 0]])
        wanted = model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    assert torch.allclose(found, wanted, atol=1e-6)
    (folder / "text_encoder" / "config.json").unlink()
    assert torch.equal(prompt_embedding(folder, "a beach", tokens=8, channels=16), found)


def test_a_long_prompt_is_refused_with_its_length(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="the prompt has 9 tokens, the model takes 8") as error:
        prompt_embedding(with_encoder(tmp_path), "a beach " * 4 + "a", tokens=8, channels=16)
    assert error.value.field == "prompt"


def test_an_embedding_of_another_model_is_refused(weights: Path) -> None:
    with pytest.raises(BadOption, match=r"is \[8, 16\], the network needs \[226, 4096\]"):
        prompt_embedding(weights, "empty scene")


def test_the_command_writes_the_default_prompt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(with_encoder(tmp_path))])
    assert Path(capsys.readouterr().out.strip()).is_file()
    assert prompt_embedding(tmp_path, "empty scene", channels=16).shape == (1, 226, 16)
