"""Text embeddings for CogVideoX: 226 tokens of T5 v1.1 XXL, padded, without an attention mask.

The encoder is larger than the denoiser and a prompt seldom changes: an embedding is computed once and kept as a small
file in the weights folder (`text/`), and the encoder is gone again before anything else is loaded. With that file the
encoder need not be there at all. Must not know: the denoiser.

    python -m services.casper.cogvideox.text FOLDER ["a prompt"]     writes the embedding of a prompt
"""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from services.casper.large import kept
from services.casper.large.kept import DEFAULT_PROMPT
from services.checkpoint.files import open_checkpoint
from services.errors import BadOption, NotFound

TOKENS = 226


def embedding_file(folder: Path, prompt: str) -> Path:
    """Where the embedding of `prompt` is kept: a name that people can read, and a digest that tells prompts apart."""
    words = re.sub(r"[^a-z0-9]+", "_", prompt.lower()).strip("_")[:40]
    return folder / "text" / f"{words}-{hashlib.sha256(prompt.encode()).hexdigest()[:8]}.safetensors"


def prompt_embedding(folder: Path, prompt: str, *, tokens: int = TOKENS, channels: int = 4096) -> Tensor:
    """The embedding [1, tokens, channels] of `prompt`: the kept one, or a new one, which is then kept.

    Raises BadOption if the prompt is longer than `tokens`, NotFound if it is not kept and there is no encoder.
    """
    file = embedding_file(folder, prompt)
    if not file.is_file():
        embedding = encoded(folder, prompt, tokens=tokens)
        kept.keep(file, embedding, prompt=prompt)
    else:
        embedding = dict(open_checkpoint(file).tensors())["embedding"]
    if tuple(embedding.shape) != (tokens, channels):
        raise BadOption(
            f"the embedding in {file} is {list(embedding.shape)}, the network needs {[tokens, channels]}; delete it."
        )
    return embedding[None]


def encoded(folder: Path, prompt: str, *, tokens: int = TOKENS, device: str = "cpu") -> Tensor:
    """The embedding [tokens, channels] of `prompt`, by the encoder in `folder`, which is loaded only for this."""
    from transformers import AutoTokenizer, T5EncoderModel

    for part in ("tokenizer", "text_encoder"):
        if not (folder / part).is_dir():
            raise NotFound(
                f"there is no embedding of {prompt!r} and no {part} in {folder}; use the prompt {DEFAULT_PROMPT!r}, or "
                f"run `python -m services.casper.cogvideox.text FOLDER {prompt!r}` where the whole base model is and "
                f"copy {embedding_file(folder, prompt).name} into {folder / 'text'}."
            )
    tokenizer: Any = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    length = len(tokenizer(prompt, add_special_tokens=True).input_ids)
    if length > tokens:
        raise BadOption(f"the prompt has {length} tokens, the model takes {tokens}; shorten it.", field="prompt")
    ids = tokenizer(
        prompt, padding="max_length", max_length=tokens, truncation=True, add_special_tokens=True, return_tensors="pt"
    ).input_ids
    model: Any = T5EncoderModel.from_pretrained(folder / "text_encoder", dtype="auto", local_files_only=True)
    with torch.inference_mode():
        found: Tensor = model.eval().to(device)(ids.to(device)).last_hidden_state[0]
    return found.cpu().clone()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write the text embedding of a prompt into a weights folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("prompt", nargs="?", default=DEFAULT_PROMPT)
    given = parser.parse_args(arguments)
    embedding = encoded(given.folder, given.prompt)
    file = embedding_file(given.folder, given.prompt)
    kept.write(file, embedding, prompt=given.prompt)
    print(file)


if __name__ == "__main__":
    main()
