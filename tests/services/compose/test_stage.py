"""The stage `compose`: what the service renders for its callers, on artifacts."""

import io
import json

import av
import cv2
import numpy as np
import pytest

from services.artifacts import Artifact
from services.compose.stage import Compose
from services.errors import BadOption, Cancelled, NotFound
from services.stage import Request, execute
from tests.services.finish.scene import make_job, make_scene


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    return make_job(tmp_path_factory.mktemp("stage"), make_scene(6, swap=3))


@pytest.fixture(scope="module")
def layers(job) -> Artifact:
    return job.finish()


def render(job, layers: Artifact, edit: dict, **inputs: str) -> Artifact:
    request = Request("compose", {"edit": edit}, {"layers": layers.address, **inputs})
    return job.store.get(execute(Compose(), request, job.store).address)


def test_a_movie_and_the_edit_that_made_it(job, layers):
    done = render(job, layers, {"layers": {"cup": {"remove": True}}})
    assert set(done.manifest.files) == {"composite.mp4", "edit.json"}
    assert json.loads(done.read("edit.json")) == {"layers": {"cup": {"remove": True}}}
    with av.open(io.BytesIO(done.read("composite.mp4"))) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6
    assert done.meta == {"frames": 6, "width": 80, "height": 48, "format": "mp4"}


def test_pictures_inserts_and_a_background(job, layers):
    data, wall = cv2.imencode(".png", np.full((20, 20, 3), 200, np.uint8))[1].tobytes(), "background"
    upload = job.store.upload([data], filename="wall.png").address
    edit = {
        "inserts": [{"from": layers.address, "layer": "ball", "as": "twin", "move": [-500, 0]}],
        "layers": {"ball": {"remove": True}, "cup": {"remove": True}},
        "background": {"image": upload},
        "output": {"format": "png"},
    }
    done = render(job, layers, edit, **{wall: upload, f"insert/{layers.address}": layers.address})
    image = cv2.imdecode(np.frombuffer(done.read("composite/00005.png"), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (48, 80, 3) and (image == 200).all()


def test_it_runs_no_programs_and_knows_no_strangers(job, layers):
    with pytest.raises(BadOption, match="runs a program"):
        render(job, layers, {"layers": {"cup": {"stylise": {"command": ["sh", "{input}", "{output}"]}}}})
    with pytest.raises(NotFound, match="no layer 'cat'"):
        render(job, layers, {"layers": {"cat": {}}})


def test_cancelling_leaves_nothing(job, layers):
    calls = iter(range(100))
    request = Request("compose", {"edit": {"layers": {"cup": {"blur": 1}}}}, {"layers": layers.address})
    with pytest.raises(Cancelled):
        execute(Compose(), request, job.store, cancelled=lambda: next(calls) > 3)
