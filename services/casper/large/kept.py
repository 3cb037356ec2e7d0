"""The embedding of a prompt in a small file beside the weights, so that its encoder need not be there.

Must not know: encoders, what shape an embedding has.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

DEFAULT_PROMPT = "empty scene"


def write(path: Path, embedding: Tensor, *, prompt: str) -> None:
    """Keep an embedding at `path`, whole or not at all, its folder made if needed. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    try:
        # Not save_file, whose errors do not say what is wrong with a disk.
        partial.write_bytes(save({"embedding": embedding.cpu().contiguous()}, metadata={"prompt": prompt}))
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def keep(path: Path, embedding: Tensor, *, prompt: str) -> bool:
    """Whether `write` could: weights may lie where nobody may write, and then the next process encodes again."""
    try:
        write(path, embedding, prompt=prompt)
    except OSError:
        return False
    return True
