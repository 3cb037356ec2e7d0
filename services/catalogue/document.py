"""Writes docs/weights.md from the catalogue, or checks that it is up to date.

    python -m services.catalogue.document            write it
    python -m services.catalogue.document --check    exit 1 if it differs from what would be written

Must not know: what is on this machine.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from services.catalogue.entries import ENTRIES
from services.catalogue.entry import Entry

PLACE = Path(__file__).resolve().parents[2] / "docs" / "weights.md"

_HEAD = """\
<!-- Written by `python -m services.catalogue.document`; change the catalogue, not this page. -->
# Published weights

The compact profile needs none of these: its weights come with the package. All others are got once, before they are
used; nothing is fetched while a job runs. `omnimatte doctor` says which profiles this machine can run, and what is
missing.

"Commercial" says whether a paid service may run the weights: yes, no, or ask (on conditions; read the licence). It is
our reading, no legal advice.

| name | serves | size | licence | commercial | got with |
|---|---|---|---|---|---|
"""

_TAIL = """
## Commands

| command | does |
|---|---|
| `omnimatte weights list [--json]` | the table above, and what is here: missing, incomplete, present, verified |
| `omnimatte weights pull NAME...` | fetches, goes on where it was cut off, checks size and SHA-256 |
| `omnimatte weights pull NAME... --from DIR` | the same without network, from `DIR/NAME/...` |
| `omnimatte weights pull NAME... --mirror URL` | the same from another server |
| `omnimatte weights import PATH` | takes over a file that you have: told by its tensors, else by digest or name |
| `omnimatte weights verify [NAME...]` | hashes again what is here |
| `omnimatte doctor [--json]` | exit status 0 if the compact profile runs, else 5 |

`DIR` may be another machine's weights folder, or hold clones of the repositories. A mirror has the hub's paths;
`OMNIMATTE_WEIGHTS_MIRROR` sets it for good.

Before anything is fetched, the licence is shown and has to be accepted, with `--accept-licence` where nobody can be
asked. Who accepted what and when is kept in `.licence.json` beside the files.

Where a publisher shows no SHA-256, the one of the first download is kept in `.files.json` and checked from then on.
Repositories that want to know who you are: set `OMNIMATTE_WEIGHTS_TOKEN`, or bring the files with `--from`.

Weights lie in `$OMNIMATTE_WEIGHTS`, else in `weights/` of the stack's home folder.
"""


def page() -> str:
    """The whole page."""
    rows = "".join(_row(entry) for entry in ENTRIES)
    remarks = "".join(f"- **{entry.title}** ({entry.licence.name}): {_remark(entry)}\n" for entry in _remarkable())
    return f"{_HEAD}{rows}\n{remarks}{_TAIL}"


def _row(entry: Entry) -> str:
    size = f"{entry.total / 1e9:.2f} GB" if entry.total else "not published"
    got = "`weights import`" if entry.imported else "`weights pull`"
    cells = (f"`{entry.name}`", entry.serves, size, entry.licence.name, entry.licence.commercial, got)
    return f"| {' | '.join(cells)} |\n"


def _remarkable() -> list[Entry]:
    return [entry for entry in ENTRIES if entry.note or entry.given or entry.licence.commercial != "yes"]


def _remark(entry: Entry) -> str:
    given = f"Given away in {entry.given}." if entry.given else ""
    return " ".join(part for part in (entry.licence.why, entry.note, given) if part)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m services.catalogue.document", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 if the page is stale")
    if not parser.parse_args(arguments).check:
        PLACE.write_text(page(), "utf-8")
        return 0
    if PLACE.is_file() and PLACE.read_text("utf-8") == page():
        return 0
    print("docs/weights.md is not what the catalogue gives; run python -m services.catalogue.document.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
