"""An embedding is kept whole, or not at all and without harm."""

from pathlib import Path

import pytest
import torch

from services.casper.large.kept import keep, write
from services.casper.wan import text
from services.checkpoint.files import open_checkpoint

EMBEDDING = torch.arange(6.0).view(2, 3)


def test_what_is_kept_is_found(tmp_path: Path) -> None:
    path = tmp_path / "text" / "a.safetensors"
    assert keep(path, EMBEDDING, prompt="a")
    assert torch.equal(dict(open_checkpoint(path).tensors())["embedding"], EMBEDDING)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("blocked", ["text", "text/a.safetensors"])
def test_where_nothing_can_be_written_nothing_is_left(tmp_path: Path, blocked: str) -> None:
    # A file where the folder should be, or a folder where the file should be: whoever tries, it cannot be written.
    path = tmp_path / "text" / "a.safetensors"
    if blocked == "text":
        path.parent.write_bytes(b"")
    else:
        path.mkdir(parents=True)
    assert not keep(path, EMBEDDING, prompt="a")
    with pytest.raises(OSError, match="text"):
        write(path, EMBEDDING, prompt="a")
    assert not list(tmp_path.rglob("*.part"))


def test_wan_runs_with_a_prompt_that_cannot_be_kept(tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    folder.write_bytes(b"")
    found = text.Prompts(folder, lambda: lambda prompt: EMBEDDING)("a beach")
    assert torch.equal(found[0, :2].float(), EMBEDDING) and folder.is_file()
