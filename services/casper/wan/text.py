"""What Wan is told in words: UMT5 embeddings of a prompt, cut to the prompt's length and filled up with zeros.

The network's own text layers see 512 tokens, always, and look at the zeros as at any other; so their number matters.
The encoder (11 GB) is read for one prompt and let go again; what it said is kept in a file beside the weights, and the
default prompt's comes with them. Must not know: the denoiser.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor

from services.casper.large import kept
from services.casper.large.kept import DEFAULT_PROMPT
from services.errors import BadOption, NotFound

TOKENS = 512

Encoder = Callable[[str], Tensor]
"""A prompt to its embedding [n, channels], n its own length in tokens."""


def encoded(prompt: str, *, tokenizer: Any, model: Any) -> Tensor:
    """Embedding [n, channels] of a prompt by UMT5EncoderModel, n <= 512 its tokens with the end mark.

    Padding tokens are masked in the encoder and cut off after it, so they are not computed in the first place.
    Raises BadOption if the prompt is too long.
    """
    given = tokenizer(prompt, add_special_tokens=True, return_tensors="pt")
    tokens = given.input_ids.shape[1]
    if tokens > TOKENS:
        raise BadOption(f"the prompt has {tokens} tokens and Wan takes {TOKENS}; shorten it.", field="prompt")
    device = model.get_input_embeddings().weight.device
    with torch.no_grad():
        mask = given.attention_mask.to(device)
        embedding: Tensor = model(given.input_ids.to(device), attention_mask=mask).last_hidden_state[0]
    return embedding.clone()


def padded(embedding: Tensor, *, tokens: int = TOKENS) -> Tensor:
    """[n, channels] to [1, tokens, channels], zeros after the prompt's end."""
    return F.pad(embedding, (0, 0, 0, tokens - len(embedding)))[None]


class Prompts:
    """Embeddings of prompts, each encoded once and kept in `folder`; `read_encoder` is called for an unknown one only.

    read_encoder: reads UMT5 and returns it as a function; it is let go after the one prompt.
    """

    def __init__(self, folder: Path, read_encoder: Callable[[], Encoder]) -> None:
        self._folder = folder
        self._read_encoder = read_encoder
        self._known: dict[str, Tensor] = {}

    def __call__(self, prompt: str) -> Tensor:
        """[1, 512, channels]. Raises BadOption for a prompt that is too long or a file that is broken, NotFound."""
        if prompt not in self._known:
            self._known[prompt] = self._found(self._folder / file_name(prompt), prompt)
        return padded(self._known[prompt])

    def _found(self, path: Path, prompt: str) -> Tensor:
        if path.is_file():
            return read(path, prompt)
        try:
            encode = self._read_encoder()
        except NotFound as error:
            missing = str(error).rstrip(".")
            raise NotFound(
                f"there is no embedding of {prompt!r} in {self._folder}, and {missing}; or use the prompt "
                f"{DEFAULT_PROMPT!r}, or run `python -m services.casper.wan.embed FOLDER {prompt!r}` where the encoder "
                f"is, and copy {path.name} here."
            ) from error
        embedding = encode(prompt).to("cpu", torch.bfloat16)
        kept.keep(path, embedding, prompt=prompt)
        return embedding


def file_name(prompt: str) -> str:
    """Name of the file that keeps a prompt's embedding."""
    return f"umt5-{hashlib.sha256(prompt.encode()).hexdigest()[:16]}.safetensors"


def write(path: Path, prompt: str, embedding: Tensor) -> None:
    """Keep an embedding [n, channels]; in bfloat16, which is what the encoder computes in. Raises OSError."""
    kept.write(path, embedding.to(torch.bfloat16), prompt=prompt)


def read(path: Path, prompt: str) -> Tensor:
    """The embedding [n, channels] that `write` kept. Raises BadOption if the file is broken or another prompt's."""
    try:
        with safe_open(path, framework="pt") as file:
            meant = (file.metadata() or {}).get("prompt")
            embedding: Tensor = file.get_tensor("embedding")
    except (SafetensorError, OSError) as error:
        raise BadOption(f"{path} is no embedding of a prompt ({error}); delete it and run again.") from error
    if meant != prompt or embedding.ndim != 2 or len(embedding) > TOKENS:
        raise BadOption(f"{path} holds another embedding than that of {prompt!r}; delete it and run again.")
    return embedding
