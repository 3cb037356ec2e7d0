"""The stage `compose`: an edit of delivered layers, rendered. It runs no model, and nothing of its callers' choosing.

Must not know: who asked, or where deliveries come from.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from services.compose.check import require_harmless
from services.compose.delivery import Delivery, open_delivery
from services.compose.edit import Edit
from services.compose.files import Stored
from services.compose.grounds import from_bytes
from services.compose.parse import parse
from services.compose.pictures import Pictures
from services.compose.render import prepare, rendered
from services.compose.write import SUFFIX, form_of, sink
from services.stage import Params, Stage, Work


class Compose(Stage):
    """params: {"edit": see services/compose/parse.py; an insert's `from` is any name}. inputs: "layers" (a `finish`
    artifact), "insert/<from>" (others), "background" (an upload) where the edit replaces it.

    Files: `composite.<suffix>`, or `composite/%05d.<suffix>`, and `edit.json`.
    """

    name = "compose"
    version = 1

    def run(self, work: Work) -> Params:
        """Raises NotFound, BadInput, BadOption for an edit that its deliveries do not fit."""
        edit = parse(work.params["edit"])
        require_harmless(edit)
        with tempfile.TemporaryDirectory() as folder:
            room = Path(folder)
            delivery = open_delivery(Stored(work.inputs["layers"]), room)
            inserted = {
                one.source: open_delivery(Stored(work.inputs[f"insert/{one.source}"]), room) for one in edit.inserts
            }
            form = form_of(edit, delivery)
            ground = _ground(work, edit, delivery, room)
            scene = prepare(edit, delivery, inserted, ground=ground, check_stop=work.check)
            target = room / "composite"
            with sink(target, edit, delivery) as written:
                for index, picture in enumerate(rendered(scene)):
                    work.check()
                    written.write(index, picture)
                    work.progress(index + 1, len(scene.frames), "frames")
            if target.is_dir():
                for path in sorted(target.iterdir()):
                    work.draft.put(f"composite/{path.name}", path)
            else:
                work.draft.put(f"composite.{SUFFIX[edit.output.format]}", target)
        work.draft.put("edit.json", json.dumps(work.params["edit"], ensure_ascii=False).encode())
        return {"frames": len(scene.frames), "width": form.width, "height": form.height, "format": edit.output.format}


def _ground(work: Work, edit: Edit, delivery: Delivery, room: Path) -> Pictures | None:
    if edit.background.kind not in ("image", "video"):
        return None
    upload = Stored(work.inputs["background"])
    return from_bytes(upload, "data", kind=edit.background.kind, delivery=delivery, folder=room, check=work.check)
