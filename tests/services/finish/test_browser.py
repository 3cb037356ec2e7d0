"""The result page in a real browser: it draws, it plays, and its switches recomposite. Skipped without Chromium."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.services.finish.scene import BALL, make_job, make_scene

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = next((path for path in ("/usr/bin/chromium", "/usr/bin/google-chrome") if Path(path).exists()), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync"
SCENE = make_scene(8, 96, 160, swap=5)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    done = make_job(folder, SCENE).finish()
    path = folder / "index.html"
    path.write_bytes(done.read("index.html"))
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split(), timeout=120_000)
        yield launched
        launched.close()


@pytest.fixture
def page(browser, page_file) -> Iterator:
    """The page at frame 3, stopped; fails on any request but the file itself, and on any script error."""
    opened = browser.new_page(viewport={"width": 1300, "height": 900})
    opened.set_default_timeout(120_000)  # Loaded machines are slow, not wrong.
    requests: list[str] = []
    faults: list[str] = []
    opened.on("request", lambda request: requests.append(request.url))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    opened.goto(f"{page_file.as_uri()}#frame=3")
    wait_for_frame(opened, 2)
    yield opened
    opened.close()
    assert faults == []
    assert [url for url in requests if not url.startswith(("file://", "blob:", "data:"))] == []


def canvas(page, selector: str = "#composite") -> np.ndarray:
    """A canvas' pixels, [H, W, 4]."""
    width, height, values = page.evaluate(
        """selector => {
            const canvas = document.querySelector(selector);
            const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return [canvas.width, canvas.height, Array.from(image.data)];
        }""",
        selector,
    )
    return np.array(values, np.uint8).reshape(height, width, 4)


def wait_for_frame(page, index: int) -> None:
    # A selector, not a script: the page's policy forbids eval.
    page.locator(f"body[data-frame='{index}']").wait_for()


def test_the_composite_looks_like_the_input(page):
    assert np.abs(canvas(page)[..., :3].astype(int) - SCENE.clip[2]).mean() < 6


def test_switching_a_layer_off_takes_it_out_of_the_composite(page):
    before = canvas(page)
    page.get_by_role("switch", name="ball").uncheck()
    page.locator("#composite:not([aria-label*='ball'])").wait_for()
    after = canvas(page)
    inside = SCENE.visible("ball")[2]
    assert np.abs(before.astype(int) - after)[inside].mean() > 30
    assert np.abs(after[inside][:, :3] / 255 - np.array(BALL)).mean() > 0.15
    untouched = (SCENE.alpha["ball"][2, ..., 0] == 0) & (SCENE.alpha["cup"][2, ..., 0] == 0)
    assert np.array_equal(before[untouched], after[untouched])


def test_the_background_can_be_checkers_or_a_colour(page):
    clear = (SCENE.alpha["ball"][2, ..., 0] == 0) & (SCENE.alpha["cup"][2, ..., 0] == 0)
    page.get_by_role("switch", name="Background").uncheck()
    assert len(np.unique(canvas(page)[clear], axis=0)) <= 3
    page.get_by_role("radio", name="Colour").check()
    page.locator("#tint").fill("#0000ff")
    assert (canvas(page)[clear] == [0, 0, 255, 255]).all()
    page.get_by_role("radio", name="Clean plate").check()
    assert page.get_by_role("switch", name="Background").is_checked()


def test_keys_and_slider_choose_the_frame_and_the_order_follows(page):
    names = page.locator("#rows .name")
    assert names.all_inner_texts() == ["ball", "cup", "Background"]
    page.keyboard.press("ArrowRight")
    wait_for_frame(page, 3)
    page.locator("#seek").fill("6")
    wait_for_frame(page, 6)
    assert names.all_inner_texts() == ["cup", "ball", "Background"]
    assert np.abs(canvas(page)[..., :3].astype(int) - SCENE.clip[6]).mean() < 6
    page.locator("body").press("Home")
    wait_for_frame(page, 0)


def test_it_plays_and_stops(page):
    page.get_by_role("button", name="Play").click()
    page.locator("body:not([data-frame='2'])").wait_for()
    page.get_by_role("button", name="Pause").click()
    assert page.get_by_role("button", name="Play").is_visible()


def test_everything_can_be_reached_and_is_named(page):
    assert page.get_by_role("slider", name="Frame").count() == 1
    assert page.get_by_role("img").count() == 5  # the composite, input, background, two layers
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, canvas')].filter(e => !(e.ariaLabel || e.textContent.trim()"
        " || e.closest('label')?.textContent.trim())).length"
    )
    assert unnamed == 0
    assert page.get_by_role("table").get_by_text("omnimatte").count() == 2
