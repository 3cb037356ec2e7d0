"""Properties of the plan that hold for every job."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.estimate import costs
from orchestrator.estimate.costs import Clip
from orchestrator.plan import Node, Output, Upload, plan
from orchestrator.spec import JobSpec, from_dict

# See tests/conftest.py.
_examples = settings(max_examples=30)

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
        "profile": draw(st.sampled_from(["", "compact", "production"])),
        "casper": {"runs_together": draw(st.integers(0, 3))},
        "region": draw(st.sampled_from(["", "frame", "objects"])),
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
def test_all_casper_runs_share_everything_but_what_stays(spec: JobSpec) -> None:
    nodes = by_stage(plan(spec), "casper")
    shared = [{name: value for name, value in node.params.items() if name != "runs"} for node in nodes]
    assert all(params == shared[0] for params in shared) and shared[0]["seed"] == spec.options.seed
    runs = [run for node in nodes for run in node.params["runs"].items()]
    layers = [item.label for item in spec.objects if item.layer]
    solos = [] if len(spec.objects) == 1 else [(label, [label]) for label in layers]
    assert runs == [("background", []), *solos]


@_examples
@given(_jobs())
def test_a_request_makes_as_many_runs_as_were_asked_for(spec: JobSpec) -> None:
    nodes = by_stage(plan(spec), "casper")
    sizes = [len(node.params["runs"]) for node in nodes]
    wanted = spec.options.casper.runs_together or (1 if spec.options.profile in ("", "compact") else 9)
    assert all(size == wanted for size in sizes[:-1]) and sizes[-1] <= wanted


@_examples
@given(_jobs())
def test_each_layer_has_one_solo_run_unless_the_clip_shows_it_alone(spec: JobSpec) -> None:
    nodes = plan(spec)
    layers = [item.label for item in spec.objects if item.layer]
    by_id = {node.id: node for node in nodes}
    assert [node.params["label"] for node in by_stage(nodes, "omnimatte")] == layers
    for node in (*by_stage(nodes, "omnimatte"), *by_stage(nodes, "ssr")):
        for name, run in (("solo", node.params.get("label")), ("background", "background"), ("casper", "")):
            ref = node.inputs.get(name)
            if isinstance(ref, Output):
                assert ref.part == (run or node.id.removeprefix("ssr/"))
                assert ref.part in by_id[ref.node].params["runs"]
    for node in by_stage(nodes, "omnimatte"):
        assert ("solo" in node.inputs) == (len(spec.objects) > 1)


@_examples
@given(_jobs())
def test_a_published_tracker_finds_the_whole_of_objects_that_others_may_hide(spec: JobSpec) -> None:
    nodes = {node.id: node for node in plan(spec)}
    wholes = [node for node in nodes.values() if "whole" in node.params]
    expected = len(spec.objects) > 1 and spec.options.profile == "production"
    assert [node.params["whole"] for node in wholes] == [o.label for o in spec.objects if o.layer and expected]
    for node in wholes:
        label = node.params["whole"]
        assert node.inputs["solo"] == Output(f"ssr/{label}")
        assert nodes[f"omnimatte/{label}"].inputs["whole"] == Output(node.id)


@_examples
@given(_jobs())
def test_every_object_list_names_inputs_that_the_node_has(spec: JobSpec) -> None:
    for node in plan(spec):
        listed = node.params.get("objects")
        if listed is not None:
            assert [item["label"] for item in listed] == [item.label for item in spec.objects]
            assert {item["input"] for item in listed} <= set(node.inputs)
    tracked = [node for node in by_stage(plan(spec), "sam2") if "prompts" in node.params]
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


@_examples
@given(_jobs())
def test_a_region_is_what_the_stages_before_finish_take_for_the_clip(spec: JobSpec) -> None:
    nodes = plan(spec)
    cut = by_stage(nodes, "region")
    assert len(cut) == (1 if spec.options.region == "objects" else 0)
    clip = Output("region" if cut else "ingest")
    for node in nodes:
        if node.stage in ("plate", "casper", "ssr", "omnimatte"):
            assert node.inputs["video"] == clip
        elif "video" in node.inputs:
            assert node.inputs["video"] == Output("ingest")
    if cut and spec.preserve is not None:
        assert all(run.inputs["preserve"] == Output("region", "preserve") for run in by_stage(nodes, "casper"))


@_examples
@given(_jobs())
def test_every_node_has_a_cost_before_anything_was_measured(spec: JobSpec) -> None:
    clip = Clip(frames=85, height=1080, width=1920, long_side=640)
    for node in plan(spec):
        assert costs.assumed(costs.kind(node)) * costs.units(node, clip) > 0


def test_how_files_are_written_reaches_finish_and_only_what_was_chosen() -> None:
    job = {"source": _digest(1), "objects": [{"label": "vase", "mask": _digest(2)}]}
    plain = plan(from_dict(job))[-1]
    chosen = plan(from_dict({**job, "options": {"delivery": {"start_frame": 1001, "name": ""}}}))[-1]
    assert "delivery" not in plain.params and chosen.params["delivery"] == {"start_frame": 1001}


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


def test_a_part_of_an_output_is_named_behind_its_address() -> None:
    objects = [{"label": "vase", "mask": _digest(2)}, {"label": "cup", "mask": _digest(3)}]
    asked = {"source": _digest(1), "objects": objects, "options": {"profile": "production"}}
    nodes = {node.id: node for node in plan(from_dict(asked))}
    casper = nodes["casper/background+vase+cup"]
    assert casper.params["model"] == "cogvideox" and casper.params["tier"] == "full" and "steps" not in casper.params
    outputs = dict.fromkeys(nodes, "f" * 64)
    assert nodes["ssr/vase"].request(outputs).inputs["casper"] == f"{'f' * 64}/vase"


def test_choices_reach_the_model_that_knows_them() -> None:
    objects = [{"label": "vase", "mask": _digest(2)}]
    casper = {"tier": "draft", "size": "320x560", "prompt": "a beach", "image_context": "zeros"}
    options = {"models": {"casper": "wan-1.3b", "depth": "depthcrafter"}, "casper": casper}
    nodes = {node.id: node for node in plan(from_dict({"source": _digest(1), "objects": objects, "options": options}))}
    params = nodes["casper/background"].params
    assert params["model"] == "wan-1.3b" and nodes["depth"].params["model"] == "depthcrafter"
    assert [params[name] for name in ("tier", "size", "prompt", "context")] == list(casper.values())
    compact = from_dict({"source": _digest(1), "objects": objects, "options": {"casper": casper}})
    assert "tier" not in {node.id: node for node in plan(compact)}["casper/background"].params
    assert nodes["finish"].params["job"]["models"] == {"casper": "wan-1.3b", "sam2": "compact", "depth": "depthcrafter"}
