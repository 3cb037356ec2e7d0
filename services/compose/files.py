"""The files of a delivery, wherever they lie: a folder, or an artifact in the store.

What layers.json names is not trusted: a path stays inside its delivery.
Must not know: what is in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol

from services.artifacts import Artifact
from services.errors import BadInput, NotFound

_PIECE = 1 << 20


class Files(Protocol):
    """Files by relative path with forward slashes. `name`: what messages call the whole."""

    name: str

    def has(self, path: str) -> bool: ...

    def chunks(self, path: str) -> Iterator[bytes]:
        """The file's bytes. Raises NotFound."""


class Folder:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        """Raises NotFound if there is none."""
        if not root.is_dir():
            raise NotFound(f"there is no folder {root}; give the folder of a decomposition, with its layers.json.")
        self.name = str(root)
        self._root = root.resolve()

    def has(self, path: str) -> bool:
        return self._inside(path).is_file()

    def chunks(self, path: str) -> Iterator[bytes]:
        target = self._inside(path)
        if not target.is_file():
            raise NotFound(f"{self.name} has no file {path}; deliver it again, or copy it there.")
        with target.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    def _inside(self, path: str) -> Path:
        _require_relative(path, self.name)
        target = (self._root / path).resolve()
        if not target.is_relative_to(self._root):
            raise BadInput(f"{path} of {self.name} leads out of its folder; copy the file into it.")
        return target


class Stored:
    """The files of an artifact."""

    def __init__(self, artifact: Artifact) -> None:
        self.name = f"artifact {artifact.address[:12]}"
        self._artifact = artifact

    def has(self, path: str) -> bool:
        return path in self._artifact.manifest.files

    def chunks(self, path: str) -> Iterator[bytes]:
        return self._artifact.chunks(path)


def read(files: Files, path: str) -> bytes:
    """All bytes of a file. Raises NotFound."""
    return b"".join(files.chunks(path))


def _require_relative(path: str, name: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\x00" in path:
        raise BadInput(f"{name} names the file {path!r}, which is no path inside it; deliver it again.")
