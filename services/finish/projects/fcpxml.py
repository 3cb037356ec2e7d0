"""Final Cut Pro's exchange format (FCPXML 1.10), which DaVinci Resolve and Premiere read too.

The background is the story; layers are connected clips in lanes, the front one in the highest. Assets are movies:
FCPXML has no image sequences. Times are exact fractions of a second.
Must not know: other programs' formats.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from fractions import Fraction
from urllib.parse import quote

from services.finish.projects.plan import Media, Project, Segment

FILENAME = "timeline.fcpxml"
_SPACES = {"bt709": "1-1-1 (Rec. 709)", "bt2020": "9-1-9 (Rec. 2020)", "bt601": "6-1-6 (Rec. 601 (NTSC))"}


def document(project: Project) -> str:
    """The project as XML."""
    root = ET.Element("fcpxml", version="1.10")
    resources = ET.SubElement(root, "resources")
    ET.SubElement(
        resources,
        "format",
        id="r1",
        name=f"{project.width}x{project.height}",
        frameDuration=seconds(1 / project.fps),
        width=str(project.width),
        height=str(project.height),
        colorSpace=_SPACES.get(str(project.color["matrix"]), _SPACES["bt709"]),
    )
    ids = {label: f"r{number}" for number, label in enumerate(project.media, start=2)}
    for label, media in project.media.items():
        _asset(resources, project, media, ids[label])
    event = ET.SubElement(ET.SubElement(root, "library"), "event", name=_plain(project.name))
    sequence = ET.SubElement(
        ET.SubElement(event, "project", name=_plain(project.name)),
        "sequence",
        format="r1",
        duration=seconds(project.frames / project.fps),
        tcStart=seconds(project.start / project.fps),
        tcFormat="NDF",
    )
    if project.varying:
        note = "The clip's frame rate varies; this timeline shows every frame for the mean time."
        ET.SubElement(sequence, "note").text = note
    spine = ET.SubElement(sequence, "spine")
    story = _clip(spine, project, Segment("", 0, project.frames - 1), ids[""])
    for lane, level in enumerate(project.levels, start=1):
        for segment in level:
            _clip(story, project, segment, ids[segment.label], lane=lane)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{ET.tostring(root, encoding="unicode")}\n'


def seconds(time: Fraction) -> str:
    """A time as FCPXML writes it: "1001/24000s", "2s"."""
    return f"{time.numerator}s" if time.denominator == 1 else f"{time.numerator}/{time.denominator}s"


def _asset(resources: ET.Element, project: Project, media: Media, name: str) -> None:
    asset = ET.SubElement(
        resources,
        "asset",
        id=name,
        name=_plain(media.name),
        start=seconds(project.start / project.fps),
        duration=seconds(project.frames / project.fps),
        hasVideo="1",
        format="r1",
    )
    if not media.label and project.sound:  # Movies of the background carry it.
        asset.attrib.update({"hasAudio": "1", "audioSources": "1"})
    ET.SubElement(asset, "media-rep", kind="original-media", src=quote(media.path))


def _clip(parent: ET.Element, project: Project, segment: Segment, ref: str, *, lane: int = 0) -> ET.Element:
    begins = seconds((project.start + segment.first) / project.fps)
    clip = ET.SubElement(
        parent,
        "asset-clip",
        ref=ref,
        name=_plain(segment.label or "background"),
        offset=begins,
        start=begins,
        duration=seconds(segment.frames / project.fps),
    )
    if lane:
        clip.set("lane", str(lane))
    return clip


def _plain(text: str) -> str:
    """`text` without what XML cannot hold at all."""
    return "".join(char for char in text if char.isprintable())
