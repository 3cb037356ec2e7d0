"""Which jobs are accepted, and what the refused ones are told."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from orchestrator import spec
from services.errors import BadInput, BadOption, BadPrompt

FILE = {"digest": "ab" * 32, "filename": "clip.mp4"}


def job(**changes: Any) -> dict[str, Any]:
    return {"source": FILE, "objects": [{"label": "vase", "mask": FILE}], **changes}


def test_a_checked_job_survives_the_way_through_its_json() -> None:
    box = {"label": "cup", "prompts": [{"frame": 3, "box": [1, 2, 30, 40]}, {"point": [5, 6], "positive": False}]}
    checked = spec.from_dict(job(objects=[box, {"label": "vase", "mask": FILE, "layer": False}], preserve=FILE))
    assert spec.from_dict(checked.to_dict()) == checked
    assert spec.restored(json.loads(checked.to_json())) == checked
    assert spec.from_dict(checked.to_dict()).digest() == checked.digest()


def test_defaults_and_the_order_of_formats_do_not_change_the_digest() -> None:
    plain = spec.from_dict(job())
    assert spec.from_dict(job(options={"seed": 0, "formats": ["png"]})).digest() == plain.digest()
    one = spec.from_dict(job(options={"formats": ["webm", "png", "png"]}))
    assert one.options.formats == ("png", "webm")
    assert one.digest() == spec.from_dict(job(options={"formats": ["png", "webm"]})).digest()


def test_another_seed_is_another_job() -> None:
    assert spec.from_dict(job(options={"seed": 1})).digest() != spec.from_dict(job()).digest()


def test_equal_labels_are_refused_as_overlapping() -> None:
    objects = [{"label": "vase", "mask": FILE}, {"label": "vase", "mask": FILE}]
    with pytest.raises(BadInput, match="overlapping labels") as caught:
        spec.from_dict(job(objects=objects))
    assert caught.value.field == "objects[1].label"


@pytest.mark.parametrize("label", ["", "Vase", "a b", "../x", "-x", "a" * 41, "background", 3, None])
def test_labels_that_cannot_be_file_names_are_refused(label: object) -> None:
    with pytest.raises(BadInput) as caught:
        spec.from_dict(job(objects=[{"label": label, "mask": FILE}]))
    assert caught.value.field == "objects[0].label"


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"source": None}, BadInput, "source"),
        ({"source": {"digest": "xyz"}}, BadInput, "source.digest"),
        ({"objects": []}, BadInput, "objects"),
        ({"objects": [{"label": f"o{i}", "mask": FILE} for i in range(9)]}, BadInput, "objects"),
        ({"objects": "vase"}, BadInput, "objects"),
        ({"objects": [{"label": "vase"}]}, BadInput, "objects[0]"),
        ({"objects": [{"label": "a", "mask": FILE, "prompts": [{"point": [1, 2]}]}]}, BadInput, "objects[0]"),
        ({"objects": [{"label": "a", "prompts": [{"frame": 0}]}]}, BadPrompt, "objects[0].prompts[0]"),
        ({"objects": [{"label": "a", "prompts": [{"box": [5, 5, 5, 9]}]}]}, BadPrompt, "objects[0].prompts[0].box"),
        ({"objects": [{"label": "a", "prompts": [{"box": [1, 2, 3]}]}]}, BadPrompt, "objects[0].prompts[0].box"),
        ({"objects": [{"label": "a", "prompts": [{"point": [-1, 2]}]}]}, BadPrompt, "objects[0].prompts[0].point"),
        ({"objects": [{"label": "a", "prompts": [{"point": [1, "x"]}]}]}, BadPrompt, "objects[0].prompts[0].point"),
        ({"objects": [{"label": "a", "prompts": [{"point": [1, 2], "positive": False}]}]}, BadPrompt,
         "objects[0].prompts"),
        ({"objects": [{"label": "a", "prompts": [{"frame": -1, "point": [1, 2]}]}]}, BadPrompt,
         "objects[0].prompts[0].frame"),
        ({"options": {"seed": -1}}, BadOption, "options.seed"),
        ({"options": {"seed": True}}, BadOption, "options.seed"),
        ({"options": {"steps": 101}}, BadOption, "options.steps"),
        ({"options": {"long_side": 8}}, BadOption, "options.long_side"),
        ({"options": {"profile": "huge"}}, BadOption, "options.profile"),
        ({"options": {"schedule": "slow"}}, BadOption, "options.schedule"),
        ({"options": {"models": {"casper": "huge"}}}, BadOption, "options.models.casper"),
        ({"options": {"models": {"ssr": "compact"}}}, BadInput, "options.models.ssr"),
        ({"options": {"models": ["casper"]}}, BadInput, "options.models"),
        ({"options": {"casper": {"tier": "best"}}}, BadOption, "options.casper.tier"),
        ({"options": {"casper": {"size": "384"}}}, BadOption, "options.casper.size"),
        ({"options": {"casper": {"size": "380x672"}}}, BadOption, "options.casper.size"),
        ({"options": {"casper": {"size": "9984x672"}}}, BadOption, "options.casper.size"),
        ({"options": {"casper": {"prompt": "x" * 2001}}}, BadOption, "options.casper.prompt"),
        ({"options": {"casper": {"image_context": "last"}}}, BadOption, "options.casper.image_context"),
        ({"options": {"casper": {"runs_together": 10}}}, BadOption, "options.casper.runs_together"),
        ({"options": {"formats": ["gif"]}}, BadOption, "options.formats"),
        ({"options": {"sed": 1}}, BadInput, "options.sed"),
        ({"colour": "red"}, BadInput, "colour"),
    ],
)  # fmt: skip
def test_refusals_name_the_place(changes: dict[str, Any], error: type[BadInput], field: str) -> None:
    with pytest.raises(error) as caught:
        spec.from_dict(job(**deepcopy(changes)))
    assert type(caught.value) is error
    assert caught.value.field == field
    assert len(caught.value.message.splitlines()) == 1
