"""python -m loadtests.stand.orchestrator SETTINGS.yaml NAMES.json

`omnimatte serve` with a name service that is a file: NAMES.json holds, for each name, the
addresses that are behind it at the moment.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from orchestrator.serve import serve
from orchestrator.settings_file import read_deployment
from services.observe import logs, tracing


class FileNames:
    """See above. A file that cannot be read is a name service that does not answer."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __call__(self, host: str, port: int) -> Sequence[str] | None:
        try:
            return [str(one) for one in json.loads(self._path.read_text()).get(host, [])]
        except (OSError, ValueError):
            return None


def main() -> int:
    """Serve until SIGTERM."""
    logs.configure("text", quiet=["dbos"])
    logging.getLogger("orchestrator").setLevel(logging.WARNING)
    with tracing.exporting("omnimatte-orchestrator"):
        return serve(read_deployment(Path(sys.argv[1]), os.environ), resolve=FileNames(Path(sys.argv[2])))


if __name__ == "__main__":
    sys.exit(main())
