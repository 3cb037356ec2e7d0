"""An OpenTimelineIO timeline: the background's track, and above it one track per depth.

Where the order of layers changes, clips change tracks, so that what is higher is always in front.
Must not know: other programs' formats.
"""

from __future__ import annotations

from typing import Any

import opentimelineio as otio

from services.finish.projects.plan import Media, Project, Segment

FILENAME = "timeline.otio"


def document(project: Project) -> str:
    """The timeline as JSON."""
    schema: Any = otio.schema
    timeline = schema.Timeline(name=project.name, global_start_time=_time(project, project.start))
    whole = Segment("", 0, project.frames - 1)
    timeline.tracks.append(_track(project, "background", [whole]))
    for depth, level in enumerate(project.levels, start=1):
        timeline.tracks.append(_track(project, f"layers {depth}", list(level)))
    if project.sound:
        track = schema.Track(name="sound", kind=schema.TrackKind.Audio)
        reference = schema.ExternalReference(target_url=project.sound, available_range=_range(project, whole))
        track.append(schema.Clip(name="sound", media_reference=reference, source_range=_range(project, whole)))
        timeline.tracks.append(track)
    timeline.metadata["omnimatte"] = {
        "order": [{"frame": frame, "back_to_front": list(row)} for frame, row in project.orders],
        "rate": f"{project.fps.numerator}/{project.fps.denominator}",
        "varying_rate": project.varying,
        "pixel_aspect": float(project.pixel_aspect),
        "colour_space": project.space,
    }
    return str(otio.adapters.write_to_string(timeline, "otio_json"))


def _track(project: Project, name: str, segments: list[Segment]) -> Any:
    schema: Any = otio.schema
    track = schema.Track(name=name, kind=schema.TrackKind.Video)
    for segment in segments:
        media = project.media[segment.label]
        clip = schema.Clip(
            name=media.name, media_reference=_reference(project, media), source_range=_range(project, segment)
        )
        clip.metadata["omnimatte"] = {
            "label": media.label,
            "exr_layer": media.channels,
            "alpha": "none" if not media.label else ("premultiplied" if media.premultiplied else "straight"),
        }
        track.append(clip)
    return track


def _reference(project: Project, media: Media) -> Any:
    whole = _range(project, Segment("", 0, project.frames - 1))
    schema: Any = otio.schema
    if not media.sequence:
        return schema.ExternalReference(target_url=media.path, available_range=whole)
    before, _, after = media.path.partition("%05d")
    folder, slash, prefix = before.rpartition("/")
    return schema.ImageSequenceReference(
        target_url_base=folder + slash,
        name_prefix=prefix,
        name_suffix=after,
        start_frame=project.start,
        frame_step=1,
        rate=float(project.fps),
        frame_zero_padding=5,
        available_range=whole,
    )


def _range(project: Project, segment: Segment) -> Any:
    opentime: Any = otio.opentime
    return opentime.TimeRange(
        _time(project, project.start + segment.first), opentime.RationalTime(segment.frames, float(project.fps))
    )


def _time(project: Project, frame: int) -> Any:
    opentime: Any = otio.opentime
    return opentime.RationalTime(frame, float(project.fps))
