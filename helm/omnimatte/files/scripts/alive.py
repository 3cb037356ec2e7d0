"""Liveness of a model pod: exit status 0 if the server answers and none of its models' processes is dead.

Triton does not restart a model's process that died; it goes on to call itself ready, and fails that model's runs for
ever. Such a process stays as a zombie, which is seen here. Zombies of other names are none of our business: a confined
decoder is ended by a signal and may be buried late.
"""

import sys
import urllib.request
from pathlib import Path

URL = "http://127.0.0.1:8000/v2/health/live"
STUB = "triton_python_b"  # triton_python_backend_stub, as long as the kernel keeps a name


def dead(processes: Path) -> list[str]:
    """Process ids of models' processes that have ended."""
    found = []
    for path in processes.glob("[0-9]*/stat"):
        try:
            head, _, tail = path.read_text(errors="replace").rpartition(")")
        except OSError:  # it went meanwhile
            continue
        pid, _, name = head.partition(" (")
        if name == STUB and tail.split()[:1] == ["Z"]:
            found.append(pid)
    return sorted(found)


def main(url: str = URL, processes: str = "/proc") -> str:
    """What is wrong; nothing if all is well."""
    found = dead(Path(processes))
    if found:
        return f"a model's process has died: {', '.join(found)}"
    try:
        with urllib.request.urlopen(url, timeout=5):
            return ""
    except OSError as error:
        return f"{url} does not answer: {error}"


if __name__ == "__main__":
    wrong = main(*sys.argv[1:])
    sys.exit(wrong or 0)
