"""Properties of the plan that hold for every job."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.plan import Node, Output, Upload, plan
from orchestrator.spec import JobSpec, from_dict

# The same examples every time, on a machine however busy.
_examples = settings(max_examples=30, deadline=None, derandomize=True, database=None)

_POINT = {"frame": 0, "point": [1, 2]}


def _digest(number: int) -> dict[str, str]:
    return {"digest": f"{number:064x}"}


@st.composite
def _objects(draw: st.DrawFn) -> list[dict[str, Any]]:
    label = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,9}", fullmatch=True)
    labels = draw(st.lists(label, min_size=1, max_size=8, unique=True))
    objects = []
    for i, label in enumerate(label for label in labels if label not in ("background", "preserve", "video")):
        place: dict[str, Any] = {"prompts": [_POINT]} if draw(st.booleans()) else {"mask": _digest(100 + i)}
        objects.append({"label": label, "layer": draw(st.integers(0, 3)) > 0, **place})
    return objects or [{"label": "vase", "mask": _digest(99)}]


@st.composite
def _jobs(draw: st.DrawFn) -> JobSpec:
    options = {
        "seed": draw(st.integers(0, 2**32 - 1)),
        "steps": draw(st.integers(0, 100)),
        "profile": draw(st.sampled_from(["compact", "production"])),
    }
    preserve = _digest(7) if draw(st.booleans()) else None
    return from_dict({"source": _digest(1), "objects": draw(_objects()), "preserve": preserve, "options": options})


def by_stage(nodes: tuple[Node, ...], stage: str) -> list[Node]:
    return [node for node in nodes if node.stage == stage]


@_examples
@given(_jobs())
def test_every_node_comes_after_the_nodes_it_needs(spec: JobSpec) -> None:
    seen: set[str] = set()
    for node in plan(spec):
        assert set(node.needs) <= seen
        assert node.id not in seen
        seen.add(node.id)


@_examples
@given(_jobs())
def test_every_node_leads_to_the_deliverables(spec: JobSpec) -> None:
    nodes = {node.id: node for node in plan(spec)}
    wanted, reached = ["finish"], set()
    while wanted:
        name = wanted.pop()
        reached.add(name)
        wanted.extend(nodes[name].needs)
    assert reached == set(nodes)
    assert plan(spec)[-1].id == "finish"


@_examples
@given(_jobs())
def test_all_casper_runs_share_seed_steps_and_profile(spec: JobSpec) -> None:
    runs = by_stage(plan(spec), "casper")
    assert len({(run.params["seed"], run.params["steps"], run.params["profile"]) for run in runs}) == 1
    assert runs[0].params["keep"] == []
    assert runs[0].params["steps"] >= 1


@_examples
@given(_jobs())
def test_each_layer_has_one_solo_run_unless_the_clip_shows_it_alone(spec: JobSpec) -> None:
    nodes = plan(spec)
    layers = [item.label for item in spec.objects if item.layer]
    solos = [run.params["keep"] for run in by_stage(nodes, "casper")[1:]]
    assert solos == ([] if len(spec.objects) == 1 else [[label] for label in layers])
    assert len(by_stage(nodes, "ssr")) == len(by_stage(nodes, "casper"))
    assert [node.params["label"] for node in by_stage(nodes, "omnimatte")] == layers
    for node in by_stage(nodes, "omnimatte"):
        assert ("solo" in node.inputs) == (len(spec.objects) > 1)


@_examples
@given(_jobs())
def test_every_object_list_names_inputs_that_the_node_has(spec: JobSpec) -> None:
    for node in plan(spec):
        listed = node.params.get("objects")
        if listed is not None:
            assert [item["label"] for item in listed] == [item.label for item in spec.objects]
            assert {item["input"] for item in listed} <= set(node.inputs)
    tracked = by_stage(plan(spec), "sam2")
    prompted = [item.label for item in spec.objects if item.prompts]
    assert len(tracked) == (1 if prompted else 0)
    if tracked:
        assert tracked[0].params["labels"] == prompted
        channels = [o["channel"] for o in by_stage(plan(spec), "depth")[0].params["objects"] if o["input"] == "sam2"]
        assert channels == list(range(len(prompted)))


@_examples
@given(_jobs())
def test_another_object_leaves_the_requests_about_the_source_as_they_are(spec: JobSpec) -> None:
    more = spec.to_dict()
    more["objects"] = [*more["objects"][:7], {"label": "new-object", "mask": _digest(55)}]
    before = {node.id: node for node in plan(spec)}
    after = {node.id: node for node in plan(from_dict(more))}
    shared = [name for name in before if name in after and before[name].stage == "ingest"]
    assert "ingest" in shared
    for name in shared:
        assert before[name] == after[name]


@_examples
@given(_jobs())
def test_the_plate_is_made_once_and_read_by_all_runs(spec: JobSpec) -> None:
    nodes = plan(spec)
    (made,) = by_stage(nodes, "plate")
    runs = [*by_stage(nodes, "casper"), *by_stage(nodes, "ssr")]
    assert all(run.inputs["plate"] == Output("plate") for run in runs)
    assert {run.params.get("long_side", made.params["long_side"]) for run in runs} == {made.params["long_side"]}
    assert "keep" not in made.params


def test_uploads_come_in_as_they_are() -> None:
    spec = from_dict({"source": _digest(1), "objects": [{"label": "vase", "mask": _digest(2)}], "preserve": _digest(3)})
    nodes = {node.id: node for node in plan(spec)}
    assert nodes["ingest"].inputs == {"upload": Upload(f"{1:064x}")}
    assert nodes["mask/vase"].inputs == {"upload": Upload(f"{2:064x}"), "video": Output("ingest")}
    assert nodes["casper/background"].inputs["preserve"] == Output("preserve")
    assert nodes["ssr/background"].inputs["preserve"] == Output("preserve")
    request = nodes["mask/vase"].request({"ingest": "f" * 64})
    assert request.inputs == {"upload": f"{2:064x}", "video": "f" * 64}
    assert request.subject == "mask/vase"


def test_an_occluder_is_removed_but_has_no_layer() -> None:
    objects = [{"label": "vase", "mask": _digest(2)}, {"label": "fence", "mask": _digest(3), "layer": False}]
    nodes = {node.id: node for node in plan(from_dict({"source": _digest(1), "objects": objects}))}
    assert "omnimatte/fence" not in nodes and "casper/fence" not in nodes
    assert nodes["finish"].params["layers"] == ["vase"]
    assert [o["label"] for o in nodes["casper/background"].params["objects"]] == ["vase", "fence"]
