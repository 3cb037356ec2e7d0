"""What is where on the page, and which event calls what.

Must not know: how anything is done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from orchestrator.spec import MAX_OBJECTS
from services.errors import OmnimatteError
from ui import prompts, result, words
from ui.handlers import Handlers, edited, grounded
from ui.session import Edit, Marks

CSS = Path(__file__).with_name("page.css")
TITLE = "omnimatte"
_SCHEDULES = ("fast", "draft")
_PLAY_SECONDS = 0.12


def theme() -> Any:
    """Plain, and without fonts from elsewhere: the page loads nothing but itself."""
    return gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


@dataclass
class _Mark:
    """Where a clip is loaded and its objects are marked."""

    clip: Any
    source: Any
    marks: Any
    picture: Any
    frame: Any
    said: Any


def build(handlers: Handlers) -> Any:
    """The page."""
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.Markdown("# omnimatte: a video taken apart into layers")
        job, edit = gr.State(""), gr.State(None)
        with gr.Tabs() as tabs:
            with gr.Tab("1 Mark objects", id="mark"):
                mark = _mark(handlers)
            with gr.Tab("2 Layers", id="layers"):
                shown = _layers(handlers, job, edit)
        with gr.Accordion("Keep a region untouched (optional)", open=False):
            editor = gr.ImageEditor(
                label="Paint what no removal may change",
                elem_id="preserve",
                sources=(),
                transforms=(),
                brush=gr.Brush(colors=["#ff2d55"], default_size=24),
                buttons=[],
                height=420,
            )
            take = gr.Button("Show the present frame here", elem_id="take-frame", size="sm", min_width=60)
            boxes = gr.Textbox(
                label="Or boxes: left top right bottom, in pixels, one per line",
                elem_id="preserve-boxes",
                lines=2,
                max_lines=8,
            )
            take.click(lambda clip, frame: _frame(handlers, clip, frame), [mark.clip, mark.frame], editor)
        with gr.Row():
            start = gr.Button("Decompose", variant="primary", elem_id="decompose")
            stop = gr.Button("Cancel", elem_id="cancel")
            schedule = gr.Radio(_SCHEDULES, value=_SCHEDULES[0], label="Thoroughness", elem_id="schedule")
        progress = gr.HTML(elem_id="progress")
        began = start.click(
            handlers.decompose, [mark.clip, mark.source, mark.marks, editor, boxes, schedule], [job, progress, edit]
        )
        stop.click(handlers.cancel, job, progress)
        began.then(lambda got: gr.Tabs(selected="layers" if got else "mark"), edit, tabs).then(
            _opened, edit, [*shown["rows"], *shown["controls"], shown["frame"]]
        ).then(_composite, [edit, shown["frame"]], [shown["picture"], shown["said"]]).then(
            lambda got: _archive(handlers, got), edit, shown["zip"]
        )
    return page


def _frame(handlers: Handlers, clip: Any, frame: float) -> Any:
    for image, _ in handlers.look(clip, None, Marks(), int(frame)):
        return image
    return None


def _mark(handlers: Handlers) -> _Mark:
    clip, source, marks = gr.State(None), gr.State(None), gr.State(Marks())
    with gr.Row():
        with gr.Column(scale=3):
            picture = gr.Image(
                label="Click on an object", elem_id="frame", interactive=False, buttons=[], height=400, format="jpeg"
            )
            frame = gr.Slider(0, 1, value=0, step=1, label="Frame", elem_id="frame-slider")
        with gr.Column(scale=2):
            file = gr.File(label="Clip", file_types=["video"], elem_id="clip", height=110)
            said = gr.HTML(elem_id="said")
            with gr.Row():
                current = gr.Dropdown(
                    [Marks().current], value=Marks().current, label="Object", elem_id="object", min_width=90
                )
                name = gr.Textbox(
                    label="Its name", value=Marks().current, elem_id="object-name", max_lines=1, min_width=90
                )
            with gr.Row():
                more = gr.Button("Another object", elem_id="add-object", size="sm", min_width=60)
                less = gr.Button("Remove object", elem_id="remove-object", size="sm", min_width=60)
                undo = gr.Button("Undo click", elem_id="undo", size="sm", min_width=60)
            sign = gr.Radio(["on the object", "not on it"], value="on the object", label="Clicks are", elem_id="sign")
            with gr.Row():
                x = gr.Number(0, label="x", precision=0, elem_id="x", minimum=0, min_width=70)
                y = gr.Number(0, label="y", precision=0, elem_id="y", minimum=0, min_width=70)
                add = gr.Button("Add point", elem_id="add-point", size="sm", min_width=60)
    mark = _Mark(clip, source, marks, picture, frame, said)

    def looked(opened: Any, at: Any, marked: Marks, index: float) -> Iterator[Any]:
        yield from handlers.look(opened, at, marked, int(index))

    look: dict[str, Any] = {"fn": looked, "inputs": [clip, source, marks, frame], "outputs": [picture, said]}

    def load(path: str | None) -> Iterator[Any]:
        for number, (opened, at, ready, text) in enumerate(handlers.load(path)):
            if number and opened:
                # The picture is there; sent again, its file would be written anew while the browser reads it.
                yield opened, at, gr.Slider(maximum=max(1, ready - 1)), gr.skip(), text, gr.skip()
            else:
                image = _frame(handlers, opened, 0) if opened else None
                yield opened, at, gr.Slider(maximum=1, value=0), image, text, Marks()

    def selected(marked: Marks) -> tuple[Marks, Any, str]:
        return marked, gr.Dropdown(choices=list(marked.labels), value=marked.current), marked.current

    def click(event: gr.SelectData, opened: Any, marked: Marks, at: float, way: str) -> tuple[Marks, str]:
        column, row = event.index
        scale = opened.scale if opened else 1
        return point(opened, marked, at, way, (column + 0.5) / scale, (row + 0.5) / scale)

    def point(opened: Any, marked: Marks, at: float, way: str, px: float, py: float) -> tuple[Marks, str]:
        if opened is None:
            return marked, words.note("Choose a clip first.")
        try:
            positive = way == "on the object"
            return prompts.with_point(marked, opened, frame=int(at), x=px, y=py, positive=positive), ""
        except OmnimatteError as error:
            return marked, words.problem(error)

    def renamed(marked: Marks, text: str) -> Any:
        try:
            return (*selected(prompts.renamed(marked, text)), words.note(""))
        except OmnimatteError as error:
            return (*selected(marked), words.problem(error))

    def another(marked: Marks) -> Any:
        try:
            return selected(prompts.with_object(marked))
        except OmnimatteError:
            return selected(marked)

    file.change(load, file, [clip, source, frame, picture, said, marks])
    frame.release(**look)
    picture.select(click, [clip, marks, frame, sign], [marks, said]).then(**look)
    add.click(point, [clip, marks, frame, sign, x, y], [marks, said]).then(**look)
    undo.click(prompts.undone, marks, marks).then(**look)
    more.click(another, marks, [marks, current, name])
    less.click(lambda marked: selected(prompts.without_object(marked)), marks, [marks, current, name]).then(**look)
    current.input(lambda marked, label: selected(prompts.with_current(marked, label)), [marks, current],
                  [marks, current, name])  # fmt: skip
    name.submit(renamed, [marks, name], [marks, current, name, said]).then(**look)
    return mark


def _layers(handlers: Handlers, job: Any, edit: Any) -> dict[str, Any]:
    rows: list[Any] = []
    controls: list[Any] = []
    with gr.Row():
        with gr.Column(scale=3):
            picture = gr.Image(
                label="The layers together", elem_id="composite", interactive=False, buttons=[], height=400
            )
            with gr.Row():
                frame = gr.Slider(0, 1, value=0, step=1, label="Frame", elem_id="layer-frame", scale=6)
                play = gr.Button("Play", elem_id="play", size="sm", min_width=60)
                stop = gr.Button("Stop", elem_id="stop", size="sm", min_width=60)
            said = gr.HTML(elem_id="layers-said")
        with gr.Column(scale=2):
            ground = gr.Checkbox(True, label="Background", elem_id="background")
            for n in range(MAX_OBJECTS):
                with gr.Group(visible=False) as row:
                    visible = gr.Checkbox(True, label="", elem_id=f"visible-{n}")
                    with gr.Row():
                        opacity = gr.Slider(0, 1, value=1, label="Opacity", elem_id=f"opacity-{n}")
                        delay = gr.Slider(-50, 50, value=0, step=1, label="Later by frames", elem_id=f"delay-{n}")
                    with gr.Row():
                        dx = gr.Slider(-500, 500, value=0, step=1, label="To the right", elem_id=f"right-{n}")
                        dy = gr.Slider(-500, 500, value=0, step=1, label="Down", elem_id=f"down-{n}")
                rows.append(row)
                controls += [visible, opacity, dx, dy, delay]
            with gr.Row():
                archive = gr.DownloadButton("Download all files", elem_id="download", interactive=False)
                render = gr.Button("Render this edit", elem_id="render")
                movie = gr.DownloadButton("Download the edit", elem_id="download-edit", interactive=False)

    def changed(got: Edit | None, at: float, background: bool, *values: Any) -> tuple[Any, Any, str]:
        if got is None:
            return None, None, words.note("Decompose a clip first.")
        new = grounded(got, background)
        for n, label in enumerate(result.facts(got).labels):
            new = edited(new, label, tuple(values[5 * n : 5 * n + 5]))
        return new, *_composite(new, at)

    def playing(got: Edit | None, at: float) -> Iterator[tuple[Any, Any]]:
        count = result.facts(got).frames if got else 0
        for step in range(count):
            index = (int(at) + step) % count
            yield _composite(got, index)[0], index
            time.sleep(_PLAY_SECONDS)

    def rendering(name: str, got: Edit | None) -> Iterator[tuple[str, Any]]:
        if got is None:
            yield words.note("Decompose a clip first."), gr.skip()
            return
        yield words.note("Rendering."), gr.skip()
        try:
            path = result.rendered(handlers.client, name, got, handlers.room())
            yield words.note("The edit is ready."), gr.DownloadButton(value=str(path), interactive=True)
        except Exception as error:
            yield words.problem(error), gr.skip()

    for control in (ground, *controls):
        control.input(
            changed, [edit, frame, ground, *controls], [edit, picture, said], trigger_mode="always_last",
            show_progress="hidden",
        )  # fmt: skip
    frame.input(_composite, [edit, frame], [picture, said], trigger_mode="always_last", show_progress="hidden")
    played = play.click(playing, [edit, frame], [picture, frame], show_progress="hidden")
    stop.click(None, cancels=[played])
    render.click(rendering, [job, edit], [said, movie])
    return {"rows": rows, "controls": controls, "frame": frame, "picture": picture, "said": said, "zip": archive}


def _opened(edit: Edit | None) -> list[Any]:
    """The controls of a new result."""
    labels = result.facts(edit).labels if edit else []
    frames = result.facts(edit).frames if edit else 1
    rows = [gr.Group(visible=n < len(labels)) for n in range(MAX_OBJECTS)]
    controls: list[Any] = []
    for n in range(MAX_OBJECTS):
        label = labels[n] if n < len(labels) else ""
        controls += [gr.Checkbox(value=True, label=f"Show {label}"), 1, 0, 0]
        controls.append(gr.Slider(value=0, minimum=-frames, maximum=frames))
    return [*rows, *controls, gr.Slider(value=0, maximum=max(1, frames - 1))]


def _composite(edit: Edit | None, frame: float) -> tuple[Any, str]:
    if edit is None:
        return None, ""
    try:
        return result.picture(edit, int(frame)), ""
    except Exception as error:
        return None, words.problem(error)


def _archive(handlers: Handlers, edit: Edit | None) -> Any:
    if edit is None:
        return gr.DownloadButton(interactive=False)
    return gr.DownloadButton(value=str(result.packed(edit, handlers.room() / "layers")), interactive=True)
