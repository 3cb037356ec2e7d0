"""What each image installs: the part of requirements.lock that its processes need.

    python -m images.lock [--check]

Written from what is installed here, so every version is one that the tests ran with.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "orchestrator": ("cluster", "tracing"),
    "models": ("production", "tracing"),
}
"""Image -> the extras of pyproject.toml that it has besides the plain dependencies."""


def wanted(image: str) -> list[str]:
    """The image's requirements, "name==version", in the order of requirements.lock.

    Raises SystemExit if a package that it needs is in no lock.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    own = {name: lines for name, lines in project["optional-dependencies"].items()}
    roots = [*project["dependencies"], *(line for extra in EXTRAS[image] for line in own[extra])]
    needed = set(_closure([Requirement(line) for line in roots], own))
    locked = {
        canonicalize_name(line.partition("==")[0]): line
        for line in (ROOT / "requirements.lock").read_text().split()
        if "==" in line
    }
    missing = sorted(needed - set(locked))
    if missing:
        sys.exit(f"{', '.join(missing)}: needed by the {image} image, and not in requirements.lock; run `make lock`.")
    return [line for name, line in locked.items() if name in needed]


def _closure(roots: Iterable[Requirement], own: Mapping[str, list[str]]) -> Iterator[str]:
    """Names of everything that `roots` need here and on a Linux machine."""
    seen: set[tuple[str, str]] = set()
    pending = list(roots)
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        if name == "omnimatte":
            pending += [Requirement(line) for extra in requirement.extras for line in own[extra]]
            continue
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                lines = requires(name) or []
            except PackageNotFoundError:
                continue
            for line in lines:
                further = Requirement(line)
                if further.marker is None or further.marker.evaluate({"extra": extra}):
                    pending.append(further)
        if not _of_cuda(name):
            yield name


def _of_cuda(name: str) -> bool:
    """torch's own libraries: its wheel for CUDA names them, and its index has them (see models.Dockerfile)."""
    return name.startswith(("nvidia-", "cuda-")) or name == "triton"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the files are as they should be")
    asked = parser.parse_args()
    stale = []
    for image in EXTRAS:
        path, text = ROOT / "images" / f"{image}.lock", "\n".join(wanted(image)) + "\n"
        if asked.check and (not path.exists() or path.read_text() != text):
            stale.append(path.name)
        elif not asked.check:
            path.write_text(text)
    if stale:
        sys.exit(f"{', '.join(stale)}: not what requirements.lock says; run `make generate`.")


if __name__ == "__main__":
    main()
