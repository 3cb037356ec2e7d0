"""A folder of weights that holds tiny ones under the names of the published."""

from pathlib import Path

from services.catalogue import find


def completed(home: Path, name: str) -> Path:
    """Add an empty file (or JSON object) for every file that a test does not need; returns the entry's folder."""
    for file in find(name).files:
        place = home / name / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.write_text("{}" if place.suffix == ".json" else "")
    return home / name
