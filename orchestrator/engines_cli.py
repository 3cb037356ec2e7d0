"""The command `omnimatte engines`: prepares the small networks for this machine's GPU, or for NVIDIA's container.

    omnimatte engines build
    omnimatte engines build --network ssr --backend onnxruntime --repository models/

Must not know: how anything is built. `services.engines.build` does that in a process of its own, with libraries that
this one does not load, and speaks to the user itself.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

BACKENDS = ("tensorrt", "onnxruntime")


def add_engines(command: argparse.ArgumentParser) -> None:
    """Give `command` its actions."""
    actions = command.add_subparsers(required=True, metavar="ACTION", parser_class=type(command))
    building = actions.add_parser("build", help="prepare networks ahead of time")
    building.set_defaults(command="engines", action="build")
    building.add_argument(
        "--network",
        metavar="NAME",
        action="append",
        default=[],
        dest="networks",
        help="repeatable; default: all whose weights are here",
    )
    building.add_argument(
        "--backend", choices=BACKENDS, default=BACKENDS[0], help="default: tensorrt, which needs a GPU"
    )
    building.add_argument(
        "--repository", type=Path, metavar="DIR", help="write a Triton repository with a model for each network"
    )


def engines(parsed: argparse.Namespace) -> int:
    """Run the action; returns the exit status."""
    command = [sys.executable, "-m", "services.engines.build", "--backend", parsed.backend]
    for name in parsed.networks:
        command += ["--network", name]
    if parsed.repository is not None:
        command += ["--repository", str(parsed.repository)]
    return subprocess.run(command, check=False).returncode
