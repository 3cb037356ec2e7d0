"""`omnimatte compose`: an edit file and delivered folders in, a movie or a folder of pictures out.

Everything that can be wrong is found before a frame is rendered, and the result takes its place when it is whole.
Must not know: how frames are made.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
from tqdm import tqdm

from services.compose.check import check
from services.compose.delivery import Delivery, open_delivery
from services.compose.edit import Edit
from services.compose.files import Folder
from services.compose.grounds import from_bytes
from services.compose.parse import parse_text
from services.compose.pictures import Pictures
from services.compose.render import prepare, rendered
from services.compose.write import form_of, sink
from services.errors import AlreadyExists, BadInput, NotFound, OmnimatteError, from_exception

_THREADS = 1


def compose(
    edit_file: Path, out: Path, *, source: Path | None = None, force: bool = False, quiet: bool = False
) -> Path:
    """Render the edit in `edit_file` to `out`, a file for movies and a folder for pictures; returns it.

    Args:
        source: the delivery to edit, instead of the one that the edit names; paths in the edit are relative to it.
        force: whether `out` may be replaced.
    Raises:
        OmnimatteError: what was wrong; `out` is as it was before.
    """
    edit = _read(edit_file)
    base = edit_file.resolve().parent
    if not (source or edit.source):
        raise BadInput(f"{edit_file} does not say what it edits; add source: FOLDER, or give --source.", field="source")
    if out.exists() and not force:
        raise AlreadyExists(f"{out} is there already; choose another, or use --force to replace it.")
    cv2.setNumThreads(_THREADS)  # Frames are made by threads of ours, side by side.
    with tempfile.TemporaryDirectory() as room:
        delivery = open_delivery(Folder(source or base / edit.source), Path(room))
        inserted = {one.source: open_delivery(Folder(base / one.source), Path(room)) for one in edit.inserts}
        form_of(edit, delivery)
        known = {name: other.labels for name, other in inserted.items()}
        check(edit, labels=delivery.labels, frames=delivery.frames, inserted=known)
        ground = _ground(edit, base, delivery, Path(room))
        part = _begun(out)
        try:
            _render(edit, delivery, inserted, ground=ground, target=part, quiet=quiet)
            _put(part, out)
        except OmnimatteError:
            raise
        except Exception as error:
            raise from_exception(error, doing=f"rendering {edit_file.name}") from error
        finally:
            _remove(part)
    return out


def _render(
    edit: Edit,
    delivery: Delivery,
    inserted: Mapping[str, Delivery],
    *,
    ground: Pictures | None,
    target: Path,
    quiet: bool,
    on_frame: Callable[[], None] = lambda: None,
) -> None:
    scene = prepare(edit, delivery, inserted, ground=ground)
    with sink(target, edit, delivery) as written:
        shown = tqdm(rendered(scene), total=len(scene.frames), unit="frame", desc="rendering", disable=quiet)
        for index, picture in enumerate(shown):
            written.write(index, picture)
            on_frame()


def _read(path: Path) -> Edit:
    try:
        return parse_text(path.read_bytes())
    except FileNotFoundError as error:
        raise NotFound(f"there is no edit {path}; check the path.") from error
    except (IsADirectoryError, PermissionError) as error:
        raise BadInput(f"{path} cannot be read; give a YAML file.") from error


def _ground(edit: Edit, base: Path, delivery: Delivery, room: Path) -> Pictures | None:
    kind, value = edit.background.kind, edit.background.value
    if kind not in ("image", "video"):
        return None
    path = (base / value).resolve()
    if not path.is_file():
        raise NotFound(f"there is no file {path}, the background of the edit.", field=f"background.{kind}")
    files = Folder(path.parent)
    return from_bytes(files, path.name, kind=kind, delivery=delivery, folder=room)


def _begun(out: Path) -> Path:
    """Where the result grows: beside `out`, hidden, on the same file system. Raises BadInput if nobody may write."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise BadInput(f"nothing can be written to {out.parent} ({error.strerror}); choose another --out.") from error
    return room / out.name


def _put(part: Path, out: Path) -> None:
    if out.is_dir() and not out.is_symlink():
        shutil.rmtree(out)
    os.replace(part, out)


def _remove(part: Path) -> None:
    shutil.rmtree(part.parent, ignore_errors=True)
