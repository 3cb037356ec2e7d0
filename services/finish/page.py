"""The result page: one HTML file that holds its pictures, loads nothing, and puts the layers together live.

Everything that a user chose (labels, file names) enters as JSON inside a data block and reaches the screen as text,
never as markup.
Must not know: how pictures were made.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.finish.preview import Album
from services.video.timing import Timeline

_TEMPLATE = Path(__file__).with_name("page.html")


def render(content: dict[str, Any], album: Album, *, name: str) -> Iterator[bytes]:
    """The page, in pieces. content: that of layers.json; name: what to call the clip, "" for a plain title."""
    title = name or "Omnimatte"
    page = _TEMPLATE.read_text(encoding="utf-8")
    head, _, rest = page.partition("__TITLE__")
    middle, _, tail = rest.partition("__DATA__")
    yield f"{head}{html.escape(title)}{middle}".encode()
    yield embedded(_data(content, album, title=title)).encode()
    yield tail.encode()


def embedded(data: object) -> str:
    """JSON that cannot end the script block it stands in."""
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _data(content: dict[str, Any], album: Album, *, title: str) -> dict[str, Any]:
    timeline = Timeline.from_json(content["fps"], content["timestamps"])
    indices = list(album.plan.indices)
    delivered = [layer["label"] for layer in content["layers"]]
    position = {label: k for k, label in enumerate(album.labels)}
    last = float(timeline.seconds(content["frames"] - 1))
    numerator, denominator = (int(part) for part in content["sample_aspect_ratio"].split("/"))
    named = [path for part in (content["background"], *content["layers"]) for path in part["files"].values()]
    files = list(dict.fromkeys([*named, *content.get("projects", {}).values()]))
    color = content["color"]
    return {
        "title": title,
        "width": album.plan.width,
        "height": album.plan.height,
        "pixel_aspect": numerator / denominator,
        "full_width": content["width"],
        "full_height": content["height"],
        "frames": content["frames"],
        "fps": content["fps"],
        "variable": timeline.variable,
        "indices": indices,
        "times": [round(float(timeline.seconds(index)), 6) for index in indices],
        "duration": last + float(1 / timeline.fps),
        "layers": [{"label": label, "delivered": label in delivered} for label in album.labels],
        "order": [[position[label] for label in content["order"][index]] for index in indices],
        "profile": content["profile"],
        "recomposition": content["recomposition"],
        "timings": [{key: row[key] for key in ("stage", "subject", "seconds")} for row in content["timings"]],
        "color": f"{color['matrix']}, {color['range']} range" + ("" if color["tagged"] else " (by convention)"),
        "bit_depth": content["bit_depth"],
        "audio": content["audio"]["codec"] if content["audio"] else "",
        "files": files + ([content["audio"]["file"]] if content["audio"] and content["audio"]["file"] else []),
        "seeds": ", ".join(sorted({str(seed) for seed in content["seeds"].values()})),
        "uploads": content["digests"]["uploads"],
        "pictures": {"input": album.image, "background": album.background, "layers": album.matte},
    }
