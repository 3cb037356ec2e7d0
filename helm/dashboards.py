"""The chart's dashboards as files.

    python -m helm.dashboards            write helm/omnimatte/files/dashboards/*.json
    python -m helm.dashboards --check    exit with status 1 if one is not what it would be

Must not know: what is shown (the boards'), or Grafana's format (grafana.py's).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from helm.cost_board import cost
from helm.grafana import as_json
from helm.operations_board import operations
from helm.story_board import story

FOLDER = Path(__file__).parent / "omnimatte" / "files" / "dashboards"
TAG = "omnimatte"


def files() -> dict[str, str]:
    """Name of each file -> what is in it."""
    made = {"operations": operations(), "story": story(), "cost": cost()}
    return {
        f"{name}.json": json.dumps(as_json(dashboard, tag=TAG), indent=1, ensure_ascii=False) + "\n"
        for name, dashboard in made.items()
    }


def main(arguments: Sequence[str]) -> int:
    """See above."""
    differing = []
    for name, content in files().items():
        path = FOLDER / name
        if not path.is_file() or path.read_text() != content:
            differing.append(name)
            if "--check" not in arguments:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
    if differing and "--check" in arguments:
        print(f"not up to date: {', '.join(differing)}; run python -m helm.dashboards.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
