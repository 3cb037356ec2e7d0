"""The arguments of `omnimatte batch`, apart from what runs it: every command pays for what it imports.

Must not know: how it is run.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_batch(command: argparse.ArgumentParser) -> None:
    """Give `command` its arguments."""
    command.set_defaults(command="batch")
    command.add_argument("manifest", type=Path, metavar="MANIFEST", help="a line of JSON for each clip (docs/api.md)")
    command.add_argument(
        "--result", type=Path, metavar="FILE", help="what became of each line (default: MANIFEST.jobs.jsonl)"
    )
    command.add_argument("--out", type=Path, metavar="DIR", help="wait, and put the layers of line N into DIR/N")
