"""A Nuke script: a Read per element (or one of the many-layered EXR, and a Shuffle per layer), Merges, a Write.

Layers were solved in the clip's own codes, and shadows are right only when they are merged there: so EXR, which is
linear, is encoded before the merges and decoded after them, and PNG is read raw. Where the order changes, one chain of
merges per order feeds a Switch that is keyed.
Must not know: other programs' formats.
"""

from __future__ import annotations

from collections.abc import Iterator

from services.finish.names import channel_names
from services.finish.projects.plan import Media, Project

FILENAME = "omnimatte.nk"
_HERE = "\\[file dirname \\[value root.name]]"
_STEP = 140


def document(project: Project) -> str:
    """The script."""
    return "\n".join(_lines(project)) + "\n"


def quoted(text: str) -> str:
    """`text` as a knob's value, whatever is in it: escaped once for the script, which is read as Tcl, and once for the
    knob, whose value Nuke evaluates as Tcl again."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return '"' + _escaped(_escaped(plain)) + '"'


def _escaped(text: str) -> str:
    return "".join(f"\\{char}" if char in '\\"[]{}$' else char for char in text)


def _lines(project: Project) -> Iterator[str]:
    size = f"{project.width} {project.height} 0 0 {project.width} {project.height} {float(project.pixel_aspect):g}"
    yield "#! omnimatte: the delivered layers over their background; save it beside layers.json"
    if project.varying:
        yield "# The clip's frame rate varies; this script shows every frame for the mean time."
    yield "version 13.0 v1"
    for media in project.layers:
        if media.channels:
            channels = " ".join(f"{media.channels}.{channel}" for channel in ("red", "green", "blue", "alpha"))
            yield f"add_layer {{{media.channels} {channels}}}"
    yield from _node(
        "Root",
        inputs=None,
        first_frame=str(project.start),
        last_frame=str(project.last),
        fps=f"{float(project.fps):.12g}",
        format=f'"{size} omnimatte"',
        colorManagement="Nuke",
    )
    names = {"": "background"} | channel_names([media.label for media in project.layers])
    shared = project.background.path if all(m.path == project.background.path for m in project.layers) else ""
    for column, media in enumerate((project.background, *project.layers)):
        yield from _element(project, media, names[media.label], shared=shared, x=column * _STEP)
    ends: list[str] = []
    for number, (_, order) in enumerate(project.orders):
        yield from _chain(order, names, number)
        ends.append(f"order{number}")
    if len(ends) > 1:
        for end in reversed(ends):  # What was pushed last is the first input.
            yield f"push $N_{end}"
        keys = " ".join(f"x{project.start + frame} {number}" for number, (frame, _) in enumerate(project.orders))
        yield from _node("Switch", inputs=len(ends), which=f"{{{{curve K {keys}}}}}", name="order")
    yield from _decoded(project, name="linear")
    yield from _node(
        "Write",
        inputs=1,
        file=f'"{_HERE}/composite/%05d.exr"',
        file_type="exr",
        create_directories="true",
        name="composite",
    )


def _element(project: Project, media: Media, name: str, *, shared: str, x: int) -> Iterator[str]:
    """The background or one layer, premultiplied codes, as the variable N_<name>."""
    if shared and media.label:
        yield "push $N_read"
    else:
        yield from _read(project, media, name, x=x)
        if shared:
            yield "set N_read [stack 0]"
    if media.channels:
        yield from _node("Shuffle", inputs=1, **{"in": media.channels}, name=f"shuffle_{name}", xpos=str(x))
    if media.format == "exr" and media.label:
        yield from _node("Unpremult", inputs=1, name=f"straight_{name}", xpos=str(x))
    if media.format == "exr":
        yield from _encoded(project, name=f"codes_{name}", x=x)
    if media.label:
        yield from _node("Premult", inputs=1, name=f"premult_{name}", xpos=str(x), label=quoted(media.label))
    yield f"set N_{name} [stack 0]"


def _read(project: Project, media: Media, name: str, *, x: int) -> Iterator[str]:
    first, last = str(project.start), str(project.last)
    kind = {"png": "png", "exr": "exr"}.get(media.format, "mov")
    file = _HERE + "/" + quoted(media.path)[1:-1]
    yield from _node(
        "Read",
        inputs=0,
        file_type=kind,
        file=f'"{file}"',
        first=first,
        last=last,
        origfirst=first,
        origlast=last,
        raw="true",
        name=f"read_{name}",
        xpos=str(x),
    )


def _encoded(project: Project, *, name: str, x: int) -> Iterator[str]:
    """Scene-linear to the clip's codes."""
    if _gamma(project):
        yield from _node("Gamma", inputs=1, channels="rgb", value=f"{_gamma(project):.12g}", name=name, xpos=str(x))
    else:
        yield from _node("Colorspace", inputs=1, colorspace_out="sRGB", name=name, xpos=str(x))


def _decoded(project: Project, *, name: str) -> Iterator[str]:
    """The clip's codes to scene-linear."""
    if _gamma(project):
        yield from _node("Gamma", inputs=1, channels="rgb", value=f"{1 / _gamma(project):.12g}", name=name)
    else:
        yield from _node("Colorspace", inputs=1, colorspace_in="sRGB", name=name)


def _gamma(project: Project) -> float:
    """The exponent of the clip's codes; 0 for sRGB's curve. PQ and HLG have none: sRGB's is as good a space to merge in
    as any, and EXR comes out of it as it went in."""
    transfer = project.space if project.background.format != "exr" else str(project.color["transfer"])
    if transfer == "unknown" and project.color["matrix"] == "rgb":
        return 0.0
    return {"srgb": 0.0, "pq": 0.0, "hlg": 0.0, "linear": 1.0, "gamma22": 2.2, "gamma28": 2.8}.get(
        transfer.split()[0] if transfer else "", 2.4
    )


def _chain(order: tuple[str, ...], names: dict[str, str], number: int) -> Iterator[str]:
    """Layers over the background, back to front, as the variable N_order<number>."""
    below = "background"
    for level, label in enumerate(order):
        yield f"push $N_{names[label]}"
        yield f"push $N_{below}"  # The top of the stack is input 0, which is B.
        yield from _node("Merge2", inputs=2, operation="over", name=f"over{number}_{level}")
        below = f"over{number}_{level}"
        yield f"set N_{below} [stack 0]"
    if not order:
        yield "push $N_background"
    yield f"set N_order{number} [stack 0]"


def _node(kind: str, *, inputs: int | None, **knobs: str) -> Iterator[str]:
    yield f"{kind} {{"
    if inputs is not None and inputs != 1:
        yield f" inputs {inputs}"
    for name, value in knobs.items():
        yield f" {name} {value}"
    yield "}"
