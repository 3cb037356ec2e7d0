"""A folder of weights that holds tiny ones under the names of the published."""

from pathlib import Path

from services.catalogue import find


def completed(home: Path, name: str) -> Path:
    """Add an empty file for every one of the entry's that a test does not need; returns the entry's folder."""
    for file in find(name).files:
        place = home / name / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    return home / name
