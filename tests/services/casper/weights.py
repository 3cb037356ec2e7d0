"""Tiny published Caspers in the places of the real ones in a folder of weights."""

from pathlib import Path

from services.casper.cogvideox import tiny as cogvideox
from services.casper.large.families import FAMILIES
from services.casper.wan import tiny as wan
from tests.services.weights_home import completed

WRITERS = {"cogvideox": cogvideox.write_tiny, "wan-1.3b": wan.write_tiny}


def write(home: Path, name: str, *, seed: int = 0) -> None:
    """Write a tiny model of the family `name` into `home`."""
    family = FAMILIES[name]
    base = WRITERS[name](home / family.base, seed=seed)
    (home / family.casper).mkdir(exist_ok=True)
    (base / "casper.safetensors").rename(home / family.casper / "casper.safetensors")
    completed(home, family.base)
