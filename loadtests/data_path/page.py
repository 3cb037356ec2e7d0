"""How soon the page answers a click: seconds from the click until the mask is seen, in a real Chromium on a real stack.

The clip has been read, as it has by the time somebody has looked at it. Every click is the first one on its object.
"""

from __future__ import annotations

import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from loadtests.data_path.deliver import Shape, frame
from loadtests.data_path.table import markdown
from services.errors import NotFound, Unavailable
from services.video.encode import Form, Movie
from services.video.timing import Timeline

SHAPE = Shape(frames=60, height=384, width=640)
_PLACES = [(x / 5, y / 4) for y in (1, 2, 3) for x in (1, 2, 3, 4)]
_BROWSERS = ("/usr/bin/chromium", "/usr/bin/google-chrome")
_PATIENCE = 120_000


def measured(clip: Path | None) -> list[float]:
    """Seconds of one click at each of twelve places of the first frame. clip: a video; None: a made one of `SHAPE`.

    Raises NotFound without a browser.
    """
    with tempfile.TemporaryDirectory() as folder:
        shown = clip or _made(Path(folder) / "clip.mp4")
        with _served(Path(folder) / "home") as address, _opened(address) as page:
            page.set_input_files("#clip input[type=file]", str(shown))
            _until(page, "Click on an object.")
            page.wait_for_selector("#frame img")
            return [_clicked(page, place) for place in _PLACES]


def report(seconds: Sequence[float]) -> str:
    row = (f"{statistics.median(seconds):.1f}", f"{min(seconds):.1f}", f"{max(seconds):.1f}", str(len(seconds)))
    return markdown(("median s", "fastest", "slowest", "clicks"), [row])


def _clicked(page: Any, place: tuple[float, float]) -> float:
    box = page.locator("#frame img").bounding_box()
    began = time.monotonic()
    page.mouse.click(box["x"] + box["width"] * place[0], box["y"] + box["height"] * place[1])
    _until(page, "% of the frame")
    page.wait_for_function("document.querySelector('#frame img').complete")
    seconds = time.monotonic() - began
    page.click("#undo")
    page.wait_for_function("!document.querySelector('#said').innerText.includes('% of the frame')")
    return seconds


def _until(page: Any, text: str) -> None:
    page.wait_for_function("text => document.querySelector('#said').innerText.includes(text)", arg=text)


@contextmanager
def _served(home: Path) -> Iterator[str]:
    """The address of `omnimatte ui` with a stack of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "orchestrator.cli", "ui", "--home", str(home), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        if not server.stdout.readline():
            raise Unavailable("the page could not be started; run `omnimatte ui` and see what it says.")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)


@contextmanager
def _opened(address: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    browser = next((path for path in _BROWSERS if Path(path).exists()), None)
    if browser is None:
        raise NotFound(f"there is none of {', '.join(_BROWSERS)}; install Chromium.")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(_PATIENCE)
        page.goto(address)
        page.wait_for_selector("#decompose")
        yield page
        chromium.close()


def _made(path: Path) -> Path:
    form = Form(SHAPE.width, SHAPE.height, Timeline(fps=Fraction(25)))
    movie = Movie(path, form, family="mp4", alpha=False)
    for t in range(SHAPE.frames):
        movie.write(frame(t, SHAPE))
    movie.close()
    return path
