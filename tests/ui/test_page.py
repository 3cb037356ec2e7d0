"""The page in a real browser, on the real stack: click, mask, decompose, toggle, download. Skipped without Chromium."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from orchestrator.client import Client
from orchestrator.embedded import BackgroundStack
from orchestrator.settings import Home
from tests.services.clips import make_clip
from tests.services.finish.scene import make_scene

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("gradio")
CHROMIUM = next((path for path in ("/usr/bin/chromium", "/usr/bin/google-chrome") if Path(path).exists()), None)
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"), pytest.mark.timeout(600)]
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync"
PATIENCE = 240_000


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    from ui.server import serving

    home = Home(tmp_path_factory.mktemp("home"))
    with (
        BackgroundStack(home) as stack,
        Client(stack.address) as client,
        serving(client, host="127.0.0.1", port=0) as page,
    ):
        yield page


@pytest.fixture
def page(address) -> Iterator:
    """The page; fails on any script error, and on any request to another machine."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split(), timeout=PATIENCE)
        opened = browser.new_page(viewport={"width": 1280, "height": 800}, accept_downloads=True)
        opened.set_default_timeout(PATIENCE)
        faults: list[str] = []
        urls: list[str] = []
        opened.on("pageerror", lambda error: faults.append(str(error)))
        opened.on("request", lambda request: urls.append(request.url))
        opened.goto(address)
        opened.wait_for_selector("#decompose")
        yield opened
        browser.close()
        assert faults == []
        assert [url for url in urls if not url.startswith((address, "blob:", "data:"))] == []


def said(page, text: str, *, where: str = "#said") -> None:
    page.wait_for_function(
        "([where, text]) => document.querySelector(where).innerText.includes(text)", arg=[where, text]
    )


def shown(page, selector: str, *, after: str = "") -> np.ndarray:
    """The picture that an image component shows, [96, 160, 3], once it is another than that of the address `after`."""
    page.wait_for_function(
        """([selector, after]) => {
            const image = document.querySelector(selector + " img");
            return image && image.naturalWidth > 0 && image.src !== after;
        }""",
        arg=[selector, after],
    )
    data = page.request.get(source(page, selector)).body()
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return cv2.resize(image, (160, 96), interpolation=cv2.INTER_AREA)


def source(page, selector: str) -> str:
    return str(page.evaluate("s => document.querySelector(s + ' img').src", selector))


def test_from_a_click_to_layers(page, tmp_path):
    scene = make_scene(8, 96, 160, labels=("ball",))
    clip = make_clip(tmp_path / "clip.mkv", scene.clip, codec="ffv1", pixel_format="bgr0")
    page.set_input_files("#clip input[type=file]", str(clip))
    said(page, "8 frames. Click on an object.")
    plain = shown(page, "#frame")

    y, x = np.argwhere(scene.solid["ball"][0]).mean(axis=0)
    box = page.locator("#frame img").bounding_box()
    scale = min(box["width"] / 160, box["height"] / 96)
    left, top = box["x"] + (box["width"] - 160 * scale) / 2, box["y"] + (box["height"] - 96 * scale) / 2
    page.mouse.click(left + x * scale, top + y * scale)
    said(page, "Looking for the objects.")
    pointed = source(page, "#frame")
    said(page, "% of the frame")
    tinted = shown(page, "#frame", after=pointed)
    assert np.abs(tinted.astype(int) - plain)[scene.solid["ball"][0]].mean() > 20

    # By keyboard: another point, by its numbers.
    page.fill("#x input", str(int(x) + 2))
    page.fill("#y input", str(int(y)))
    page.focus("#add-point")
    page.keyboard.press("Enter")
    said(page, "% of the frame")

    page.click("text=Keep a region untouched")
    page.fill("#preserve-boxes textarea", "0 0 200 8")
    page.click("#schedule >> text=draft")
    page.click("#decompose")
    said(page, "is no box in this clip", where="#progress")
    page.fill("#preserve-boxes textarea", "0 0 20 8")
    page.click("#decompose")
    said(page, "Done:", where="#progress")
    together = shown(page, "#composite")
    assert np.abs(together.astype(int) - scene.clip[0][..., ::-1]).mean() < 12

    before = source(page, "#composite")
    page.uncheck("#visible-0 input")
    without = shown(page, "#composite", after=before)
    assert np.abs(without.astype(int) - together)[scene.solid["ball"][0]].mean() > 15

    page.wait_for_selector("#download:not([disabled])")
    with page.expect_download() as download:
        page.click("#download")
    archive = zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert json.loads(archive.read("layers.json"))["frames"] == 8
    assert "layers/object-1/00007.png" in archive.namelist()

    page.click("#render")
    said(page, "The edit is ready.", where="#layers-said")
    page.wait_for_selector("#download-edit:not([disabled])")
    with page.expect_download() as download:
        page.click("#download-edit")
    assert Path(download.value.path()).read_bytes()[4:8] == b"ftyp"


def test_what_is_no_clip_is_told_in_a_sentence(page, tmp_path):
    (tmp_path / "notes.mp4").write_text("this is not a video")
    page.set_input_files("#clip input[type=file]", str(tmp_path / "notes.mp4"))
    page.wait_for_selector("#said .problem")
    text = page.inner_text("#said")
    assert "otes.mp4" in text and "Traceback" not in text
    page.click("#decompose")
    page.wait_for_selector("#progress .problem")
    assert "hoose a clip first" in page.inner_text("#progress")
