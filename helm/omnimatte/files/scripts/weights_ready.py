"""Waits until all weights that are named are on the volume: `weights_ready.py NAME...`

Nothing is read but sizes and records, so a set of 50 GB is looked at in a moment.
"""

import json
import subprocess
import sys
import time

PAUSE_SECONDS = 10


def lacking(names: list[str]) -> list[str]:
    """Which of them are not there yet."""
    told = subprocess.run(["omnimatte", "weights", "list", "--json"], check=True, capture_output=True, text=True)
    states = {one["name"]: one["state"] for one in json.loads(told.stdout)}
    unknown = [name for name in names if name not in states]
    if unknown:
        sys.exit(f"there are no weights called {', '.join(unknown)}; `omnimatte weights list` shows the names")
    return [name for name in names if states[name] not in ("present", "verified")]


if __name__ == "__main__":
    wanted = [name.strip(",") for name in sys.argv[1:]]
    before: list[str] = []
    while missing := lacking(wanted):
        if missing != before:
            print(f"waiting for {', '.join(missing)}", flush=True)
            before = missing
        time.sleep(PAUSE_SECONDS)
    print("all weights are there", flush=True)
