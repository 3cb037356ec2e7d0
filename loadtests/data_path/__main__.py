"""The command line; see the package."""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtests.data_path import clips, deliver, edits, startup, store


def main(arguments: list[str] | None = None) -> None:
    """Measure what the command line asks for, and print it as tables."""
    options = _parser().parse_args(arguments)
    found: dict[str, Any] = {}
    if options.what in (None, "store"):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            cases = list(clips.cases(megabytes=options.megabytes))
            rows = store.measured(cases, Path(folder), repetitions=options.repetitions)
        print(store.report(rows), end="\n\n")
        found["store"] = [asdict(row) for row in rows]
    if options.what in (None, "startup"):
        imported = startup.imports(repetitions=3)
        print(startup.report_imports(imported), end="\n\n")
        phases = startup.starts(repetitions=options.starts)
        print(startup.report_starts(phases))
        found["imports"] = [asdict(one) for one in imported]
        found["starts"] = {phase: asdict(seconds) for phase, seconds in phases.items()}
    if options.what == "deliver":
        shape = deliver.Shape(frames=options.frames, height=options.height, width=options.height * 16 // 9)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            packed = deliver.measured(
                shape, Path(folder), formats=options.formats or deliver.FORMATS, together=options.together
            )
        print(deliver.report(packed, shape))
        found["deliver"] = [asdict(one) for one in packed]
    if options.what == "edits":
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            rendered = edits.measured(Path(folder))
        print(edits.report(rendered))
        found["edits"] = [asdict(one) for one in rendered]
    if options.what == "page":
        from loadtests.data_path import page

        clicks = page.measured(options.clip)
        print(page.report(clicks))
        found["page"] = clicks
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtests.data_path", description=__doc__)
    parser.add_argument(
        "what", nargs="?", choices=["store", "startup", "deliver", "edits", "page"], help="default: store, startup"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the numbers here, too")
    parser.add_argument("--folder", type=Path, help="where to write frames; default: the temporary folder")
    parser.add_argument("--megabytes", type=int, default=100, help="of frames per case (100)")
    parser.add_argument("--repetitions", type=int, default=9, help="of each case (9)")
    parser.add_argument("--starts", type=int, default=3, help="cold starts of a stack (3)")
    parser.add_argument("--frames", type=int, default=200, help="deliver: of the clip (200)")
    parser.add_argument("--height", type=int, default=1080, help="deliver: of the clip, which is 16:9 (1080)")
    parser.add_argument("--formats", nargs="+", help="deliver: only these, one after the other, then all at once")
    parser.add_argument("--together", action="store_true", help="deliver: all formats at once only")
    parser.add_argument("--clip", type=Path, help="page: the video to click on; default: a made one of 640x384")
    return parser


if __name__ == "__main__":
    main()
