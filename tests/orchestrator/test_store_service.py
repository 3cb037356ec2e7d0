"""The store as clients see it: its quota, results that are not kept any longer, collections while jobs run."""

from __future__ import annotations

import sys
import time
import urllib.request
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import toys
from conftest import Background, make_spec

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.cli import main
from orchestrator.client import Client
from orchestrator.hygiene import Hygiene
from services.artifacts import Store
from services.errors import NotFound, OutOfSpace


def ended(client: Client, job: pb.Job) -> pb.Job:
    for _ in client.watch(job.name):
        pass
    return client.get(job.name)


def metrics(background: Background) -> str:
    with urllib.request.urlopen(background.server.metrics_url, timeout=10) as answer:
        return str(answer.read().decode())


def test_beyond_its_limit_the_store_takes_no_files_and_no_jobs(tmp_path: Path) -> None:
    hygiene = Hygiene(limit_bytes=20_000_000)
    with Background(tmp_path, hygiene=hygiene) as background, Client(background.server.address) as client:
        spec = make_spec(client)
        assert ended(client, client.create_job(spec)).state == pb.Job.SUCCEEDED
        # Too large alone: refused on the way, and nothing of it stays.
        with pytest.raises(OutOfSpace, match="delete jobs"):
            client.upload([b"x" * 2**20] * 40, filename="large.mp4")
        store = Store(background.store)
        assert not [path for path, _, _ in store.listed("staging")]
        client.upload([b"x" * 10**6] * 15, filename="first.mp4")
        with pytest.raises(OutOfSpace, match="OMNIMATTE_STORE_LIMIT"):
            client.upload([b"y" * 10**6] * 15, filename="second.mp4")
        told = metrics(background)
        assert "omnimatte_store_limit_bytes 2e+07" in told
        held = int(
            float(next(line for line in told.splitlines() if line.startswith("omnimatte_store_bytes")).split()[1])
        )
        assert held > 15_000_000
        client.upload([b"z" * 1000] * ((20_000_000 - held) // 1000) + [b"z" * (-held % 1000)], filename="fills.mp4")
        with pytest.raises(OutOfSpace):
            client.create_job(spec)
        with pytest.raises(OutOfSpace):
            client.upload([b"more"], filename="third.mp4")


def test_a_server_collects_by_itself_and_its_jobs_do_not_notice(tmp_path: Path) -> None:
    # Longer than an upload takes on a busy machine: what is being written must be younger.
    hygiene = Hygiene(collect_seconds=0.1, grace_seconds=2.0, keep_intermediates_seconds=0.0, keep_results_seconds=0.0)
    with Background(tmp_path, hygiene=hygiene) as background, Client(background.server.address) as client:
        store = Store(background.store)
        # An upload has little grace here: it may be gone before its job is made.
        for attempt in range(100):
            try:
                job = client.create_job(make_spec(client, seed=toys.WAITS_FOR_FILE))
                break
            except NotFound:
                assert attempt < 99
        # Several collections meet it while it runs.
        next(event for event in client.watch(job.name) if event.progress.total)
        time.sleep(2.5)
        background.go()
        done = ended(client, job)
        assert done.state == pb.Job.SUCCEEDED, done.error
        deadline = time.monotonic() + 20
        while [path for path, _, _ in store.listed("") if path not in ("owner", "go")]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        # The job is still known; its files are not kept any longer, and are said to be gone.
        again = client.get(job.name)
        assert again.state == pb.Job.SUCCEEDED
        with pytest.raises(NotFound, match="not kept any longer"):
            client.download(job.name, tmp_path / "out")
        told = metrics(background)
        assert 'omnimatte_store_collected_bytes_total{kind="artifact"}' in told
        assert 'omnimatte_store_collections_total{outcome="done"}' in told


def test_the_command_works_beside_the_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Background(tmp_path) as background, Client(background.server.address) as client:
        job = client.create_job(make_spec(client, seed=toys.WAITS_FOR_FILE))
        assert main(["store", "collect", "--home", str(tmp_path)]) == 0
        assert main(["store", "fsck", "--home", str(tmp_path)]) == 0
        background.go()
        assert ended(client, job).state == pb.Job.SUCCEEDED
        assert main(["store", "fsck", "--home", str(tmp_path)]) == 0
        assert "0 faults found" in capsys.readouterr().out
