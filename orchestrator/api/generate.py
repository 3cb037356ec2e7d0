"""Generates the Python code of the API, or checks that what is committed is up to date.

    python -m orchestrator.api.generate            write it
    python -m orchestrator.api.generate --check    exit 1 if it differs from what would be written

Needs grpcio-tools, which only developers install.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_PROTO = "orchestrator/api/omnimatte.proto"
_GENERATED = ("omnimatte_pb2.py", "omnimatte_pb2.pyi", "omnimatte_pb2_grpc.py")


def generate(target: Path) -> None:
    """Write the generated modules below `target`, in the proto file's own folder."""
    from google.rpc import status_pb2
    from grpc_tools import protoc

    arguments = [
        "protoc",
        f"--proto_path={_ROOT}",
        f"--proto_path={files('grpc_tools') / '_proto'}",
        # google/api and google/rpc come with googleapis-common-protos.
        f"--proto_path={Path(status_pb2.__file__).parents[2]}",
        f"--python_out={target}",
        f"--pyi_out={target}",
        f"--grpc_python_out={target}",
        str(_ROOT / _PROTO),
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc refused the definition; see its message above.")


def stale(committed: Path) -> list[str]:
    """Names of the generated modules in `committed` that differ from the definition's."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = Path(folder) / Path(_PROTO).parent
        return [
            name
            for name in _GENERATED
            if not (committed / name).is_file() or (committed / name).read_bytes() != (fresh / name).read_bytes()
        ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m orchestrator.api.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 if the committed code is stale")
    if not parser.parse_args(arguments).check:
        generate(_ROOT)
        return 0
    different = stale(Path(__file__).parent)
    if different:
        print(f"{', '.join(different)}: not what {_PROTO} gives; run python -m orchestrator.api.generate.")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
