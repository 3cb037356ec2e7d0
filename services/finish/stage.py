"""The stage `finish`: layers and background at the clip's own size, exact to the input, as files people can use.

Passes over the clip, each in a few frames of memory: the first settles the layer order, which needs the whole clip; the
second transfers detail, measures and writes pictures; then one makes each movie.
Must not know: how layers were solved, or who downloads them.
"""

from __future__ import annotations

import json
import re
import time
from itertools import count

from services.artifacts import Artifact
from services.deliverables import check_formats, delivery_of
from services.errors import BadOption
from services.finish import ordering, page, preview, report
from services.finish.deliver import Deliverables
from services.finish.projects import write
from services.finish.shot import Shot
from services.finish.sources import Frame, Sources
from services.finish.transfer import Finished, finish_frame
from services.stage import Params, Stage, Work

_LABEL = re.compile(r"[^/\\%\x00-\x1f]{1,100}")


class Finish(Stage):
    name = "finish"
    version = 2

    def run(self, work: Work) -> Params:
        """Raises BadOption for an unknown format, a label that cannot name a file, or inputs that do not fit."""
        started = time.monotonic()
        sources = Sources(work.inputs, list(work.params["objects"]))
        labels = [str(label) for label in work.params["layers"]]
        for label in labels:
            if label not in sources.labels:
                raise BadOption(
                    f"layer {label!r} was asked for, but there is no input 'layer/{label}'.", field="layers"
                )
            if not _LABEL.fullmatch(label) or label in (".", ".."):
                raise BadOption(
                    f"the label {label!r} cannot name a file; use letters, digits, - and _.", field="layers"
                )
        how = delivery_of(work.params.get("delivery", {}))
        deliverables = Deliverables(
            draft=work.draft,
            video=sources.video,
            formats=check_formats(work.params["formats"]),
            labels=labels,
            objects=[track.label for track in sources.tracks],
            peak=sources.peak,
            how=how,
            clip=_clip_name(work.params, sources.video),
        )
        order = ordering.of_clip(sources, work.check)
        peak = sources.peak
        plan = preview.plan(
            frames=sources.frames, width=sources.width, height=sources.height, layers=len(sources.labels)
        )
        album = preview.Album(plan, sources.labels)
        errors: list[float] = []
        with deliverables:
            ticks = count(1)

            def tick() -> None:
                work.check()
                work.progress(next(ticks), sources.frames * deliverables.passes, "frames")

            for block in sources.blocks():
                for frame in sources.read(block):
                    row = [int(k) for k in order[frame.index]]
                    done = finish_frame(frame, row, objects=sources.composited, peak=peak)
                    errors.append(done.square_error)
                    deliverables.write(_shot(frame, done, sources))
                    if frame.index in plan.indices:
                        album.add(frame.image, done.background, done.layers)
                    tick()
            deliverables.close(tick)
            measured = report.Measured(order, errors, time.monotonic() - started)
            content = report.build(dict(work.params), sources, deliverables, measured)
        name = _clip_name(work.params, sources.video)
        for kind in deliverables.projects:
            work.draft.put(write.filename(kind), write.write(kind, content, name=name))
        work.draft.put("layers.json", json.dumps(content, indent=1, ensure_ascii=False).encode())
        work.draft.put("index.html", page.render(content, album, name=name))
        return {
            "frames": sources.frames,
            "height": sources.height,
            "width": sources.width,
            "recomposition_psnr": content["recomposition"]["psnr_db"],
            "order": report.order_runs(measured, sources),
        }


def _shot(frame: Frame, done: Finished, sources: Sources) -> Shot:
    masks = {track.label: frame.masks[..., n] for n, track in enumerate(sources.tracks)}
    return Shot(frame.index, done.background, dict(zip(sources.labels, done.layers, strict=True)), masks, frame.depth)


def _clip_name(params: Params, video: Artifact) -> str:
    """What the user called the file, for the page's title: as the job says, else as it was uploaded."""
    job = params.get("job")
    if isinstance(job, dict) and job.get("filename"):
        return str(job["filename"])
    inputs = video.manifest.request.get("inputs", {})
    return str(video.input("upload").meta.get("filename", "")) if "upload" in inputs else ""
