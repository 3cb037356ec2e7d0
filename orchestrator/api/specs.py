"""Job specs as protobuf messages and back: the half of the conversions that the client needs too.

Must not know: what any of it is for. Values are not checked here; orchestrator/spec.py does that for every client.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.spec import JobSpec
from orchestrator.timing import Scheduling


def spec_to_dict(spec: pb.JobSpec) -> dict[str, Any]:
    """A JobSpec message as the data that `orchestrator.spec.from_dict` checks."""
    data: dict[str, Any] = {"objects": [_object_to_dict(item) for item in spec.objects]}
    if spec.HasField("source"):
        data["source"] = _file_to_dict(spec.source)
    if spec.HasField("preserve"):
        data["preserve"] = _file_to_dict(spec.preserve)
    if spec.HasField("options"):
        given = {descriptor.name: value for descriptor, value in spec.options.ListFields()}
        plain: dict[str, Any] = {}
        if "formats" in given:
            plain["formats"] = list(given["formats"])
        if "models" in given:
            plain["models"] = dict(given["models"])
        if "casper" in given:
            plain["casper"] = {descriptor.name: value for descriptor, value in spec.options.casper.ListFields()}
        if "delivery" in given:
            plain["delivery"] = {descriptor.name: value for descriptor, value in spec.options.delivery.ListFields()}
        data["options"] = given | plain
    if spec.HasField("scheduling"):
        data["scheduling"] = _scheduling_to_dict(spec.scheduling)
    data["allow_partial"] = spec.allow_partial
    return data


def _scheduling_to_dict(scheduling: pb.Scheduling) -> dict[str, Any]:
    # Negative durations too: refusing them is others' business.
    data: dict[str, Any] = {"priority": scheduling.priority, "timeout": scheduling.timeout.ToNanoseconds() / 1e9}
    chosen = getattr(scheduling, "class")
    if chosen != pb.Scheduling.CLASS_UNSPECIFIED:
        known = chosen in pb.Scheduling.Class.values()
        data["class"] = pb.Scheduling.Class.Name(chosen).lower() if known else str(chosen)
    return data


def _file_to_dict(file: pb.File) -> dict[str, Any]:
    return {"digest": file.digest, "filename": file.filename}


def _object_to_dict(item: pb.Object) -> dict[str, Any]:
    data: dict[str, Any] = {
        "label": item.label,
        "layer": not item.occluder,
        "prompts": [_prompt_to_dict(prompt) for prompt in item.prompts],
    }
    if item.HasField("mask"):
        data["mask"] = _file_to_dict(item.mask)
    return data


def _prompt_to_dict(prompt: pb.Prompt) -> dict[str, Any]:
    data: dict[str, Any] = {"frame": prompt.frame, "positive": not prompt.negative}
    if prompt.WhichOneof("place") == "box":
        data["box"] = [prompt.box.x0, prompt.box.y0, prompt.box.x1, prompt.box.y1]
    elif prompt.WhichOneof("place") == "point":
        data["point"] = [prompt.point.x, prompt.point.y]
    return data


def spec_to_message(spec: JobSpec) -> pb.JobSpec:
    """The inverse of `spec_to_dict` for a checked spec."""
    message = pb.JobSpec(source=pb.File(digest=spec.source.digest, filename=spec.source.filename))
    for item in spec.objects:
        added = message.objects.add(label=item.label, occluder=not item.layer)
        if item.mask is not None:
            added.mask.digest, added.mask.filename = item.mask.digest, item.mask.filename
        for prompt in item.prompts:
            place = added.prompts.add(frame=prompt.frame, negative=not prompt.positive)
            if prompt.box is not None:
                place.box.x0, place.box.y0, place.box.x1, place.box.y1 = prompt.box
            elif prompt.point is not None:
                place.point.x, place.point.y = prompt.point
    if spec.preserve is not None:
        message.preserve.digest, message.preserve.filename = spec.preserve.digest, spec.preserve.filename
    message.allow_partial = spec.allow_partial
    scheduling = spec.scheduling
    if scheduling != Scheduling():
        message.scheduling.MergeFrom(
            pb.Scheduling(priority=scheduling.priority, **{"class": scheduling.line.name})  # type: ignore[arg-type]
        )
        if scheduling.timeout:
            message.scheduling.timeout.FromNanoseconds(round(scheduling.timeout * 1e9))
    options = spec.options
    message.options.CopyFrom(
        pb.Options(
            seed=options.seed,
            profile=options.profile,
            formats=options.formats,
            steps=options.steps,
            long_side=options.long_side,
            schedule=options.schedule,
            region=options.region,
            models=options.models,
            casper=pb.CasperOptions(**asdict(options.casper)),
            delivery=pb.Delivery(**asdict(options.delivery)),
        )
    )
    return message
