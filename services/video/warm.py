"""Imports everything that decoding may need: a confined process can open no file.

Must not know: what is decoded.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

import av
from PIL import Image


def warm() -> None:
    """Call it before the process is confined."""
    Image.init()
    for found in pkgutil.walk_packages(av.__path__, "av."):
        if not found.name.startswith(("av.__main__", "av.datasets")):
            import_module(found.name)
