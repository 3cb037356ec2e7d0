"""Whatever a confined process does, its caller gets one clear end, and nothing stays running."""

import contextlib
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.errors import BadOption, BadVideo, Cancelled, Unavailable
from services.sandbox.allowance import Allowance
from services.sandbox.running import Broken, Sandbox
from services.sandbox.wire import Piece

HERE = "tests.services.sandbox.misbehaving"
JOBS = [
    "echo crash abort leave kill loop stubborn eat eat_below flood drip too_large raw refuse blame stumble",
    "late_import reach_out",
]
NAMES = " ".join(JOBS).split()
ALLOWANCE = Allowance(
    memory=1 << 30, cpu_seconds=20, written=1 << 20, silence=1.5, waiting=20.0, answers=500, array=1 << 20
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    found = Sandbox([f"{HERE}:{name}" for name in NAMES], allowance=ALLOWANCE)
    yield found
    found.close()


def run(sandbox: Sandbox, name: str, files=(), **params) -> list[Piece]:
    return list(sandbox.run(f"{HERE}:{name}", files, params))


def broken(sandbox: Sandbox, name: str, **params) -> Broken:
    with pytest.raises(Broken) as caught:
        run(sandbox, name, **params)
    assert run(sandbox, "echo")  # The next file is read as if nothing had been.
    return caught.value


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: list[int], *, within: float = 5.0) -> bool:
    end = time.monotonic() + within
    while any(is_alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(is_alive(pid) for pid in pids)


def test_answers_and_files_arrive_as_they_were(sandbox):
    with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as out:
        file.write(b"hello")
        file.seek(0)
        first, small, deep = run(sandbox, "echo", [file, out], number=3, text="ä")
        out.seek(0)
        assert out.read() == b"written"
    assert (first.facts["params"], first.facts["read"]) == ({"number": 3, "text": "ä"}, ["hello"])
    assert small.array.dtype == np.uint8 and deep.array.dtype == np.uint16
    assert np.array_equal(deep.array, np.arange(24).reshape(2, 3, 4))


@pytest.mark.parametrize(
    ("name", "how", "detail"),
    [
        ("crash", "crashed", "SIGSEGV"),
        ("abort", "crashed", "SIGABRT"),
        ("leave", "crashed", "exit status 3"),
        ("kill", "killed", "SIGKILL"),
        ("loop", "slow", "no answer"),
        ("drip", "slow", "no answer"),
        ("eat", "memory", "bytes"),
        ("eat_below", "failed", "Cannot allocate memory"),
        ("flood", "nonsense", "500 answers"),
        ("too_large", "nonsense", "too large"),
        ("blame", "nonsense", "Unauthenticated"),
        ("stumble", "failed", "ZeroDivisionError: somewhere in a library"),
        ("late_import", "failed", "ImportError: wave was not imported ahead"),
    ],
)
def test_every_bad_end_has_its_name(sandbox, name, how, detail):
    error = broken(sandbox, name)
    assert error.how == how and detail in error.detail


def framed(header: bytes) -> str:
    return (struct.pack("<I", len(header)) + header).hex()


@pytest.mark.parametrize(
    "data",
    [
        "ffffffff",
        framed(b"[]"),
        framed(b"\xff\xfe"),
        framed(b"[" * 20_000),
        framed(b'{"kind":"piece","facts":{}}'),
        framed(b'{"kind":"thing","facts":{},"array":null}'),
        framed(b'{"kind":["end"],"facts":{},"array":null}'),
        framed(b'{"kind":"piece","facts":3,"array":null}'),
        framed(b'{"kind":"piece","facts":{},"array":{"shape":[1e9],"dtype":"uint8"}}'),
        framed(b'{"kind":"piece","facts":{},"array":{"shape":[-1],"dtype":"uint8"}}'),
        framed(b'{"kind":"piece","facts":{},"array":{"shape":[4],"dtype":"object"}}'),
        framed(b'{"kind":"piece","facts":{},"array":{"shape":[99999999999,99999999999],"dtype":"uint8"}}'),
        framed(b'{"kind":"refused","facts":{"error":"what"},"array":null}'),
    ],
)
def test_nonsense_is_told_apart(sandbox, data):
    assert broken(sandbox, "raw", data=data).how == "nonsense"


def test_too_much_to_tell_is_refused(sandbox):
    with pytest.raises(BadOption, match="too many"):
        run(sandbox, "echo", text="x" * 100_000)
    assert run(sandbox, "echo")


def test_what_a_job_refuses_reaches_the_caller_as_it_is(sandbox):
    with pytest.raises(BadVideo, match=r"^the clip is bad; send another\.$") as caught:
        run(sandbox, "refuse")
    assert caught.value.field == "video"


def test_a_confined_process_can_open_nothing(sandbox):
    with tempfile.TemporaryFile() as file:
        generator = sandbox.run(f"{HERE}:reach_out", [file], {})
        facts = next(generator).facts
        generator.close()
    assert facts["found"] == {"open": "OSError", "connect": "OSError", "raise": "ValueError", "write": "OSError"}
    assert len(facts["descriptors"]) == 3 + 2 and facts["core"] == 0


def test_secrets_in_the_environment_stay_with_the_caller(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    with contextlib.closing(Sandbox([f"{HERE}:reach_out"])) as own, tempfile.TemporaryFile() as file:
        generator = own.run(f"{HERE}:reach_out", [file], {})
        assert "AWS_SECRET_ACCESS_KEY" not in next(generator).facts["environment"]
        generator.close()


def test_a_caller_that_turns_away_leaves_nothing_running(sandbox):
    generator = sandbox.run(f"{HERE}:stubborn", [], {})
    pids = next(generator).facts["pids"]
    assert all(is_alive(pid) for pid in pids)
    generator.close()
    assert gone(pids)


def test_a_caller_that_is_cancelled_does_not_wait(sandbox):
    began = time.monotonic()

    def check() -> None:
        if time.monotonic() - began > 0.1:
            raise Cancelled("stop")

    generator = sandbox.run(f"{HERE}:loop", [], {}, check=check)
    pid = next(generator).facts["pid"]
    with pytest.raises(Cancelled):
        next(generator)
    assert time.monotonic() - began < 1.4 and gone([pid])


def test_several_files_are_read_at_once(sandbox):
    found: list[str] = []

    def one(name: str) -> None:
        try:
            run(sandbox, name)
            found.append("fine")
        except Broken as error:
            found.append(error.how)

    threads = [threading.Thread(target=one, args=(name,)) for name in ("loop", "crash", "echo", "eat", "echo")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["crashed", "fine", "fine", "memory", "slow"]


def test_processor_time_is_limited():
    allowance = Allowance(memory=1 << 30, cpu_seconds=1, silence=30.0)
    with contextlib.closing(Sandbox([f"{HERE}:loop"], allowance=allowance)) as own, pytest.raises(Broken) as caught:
        run(own, "loop")
    assert (caught.value.how, "processor time" in caught.value.detail) == ("slow", True)


def test_the_warm_process_has_one_thread_and_comes_back_when_it_is_killed():
    with contextlib.closing(Sandbox([f"{HERE}:echo", f"{HERE}:loop"], allowance=ALLOWANCE)) as own:
        run(own, "echo")
        (warm,) = children(os.getpid(), f"{HERE}:echo {HERE}:loop")
        assert len(list(Path(f"/proc/{warm}/task").iterdir())) == 1
        generator = own.run(f"{HERE}:loop", [], {})
        pid = next(generator).facts["pid"]
        os.kill(warm, signal.SIGKILL)
        assert gone([pid])  # The kernel takes them along.
        generator.close()
        assert run(own, "echo")
    assert not children(os.getpid(), f"{HERE}:echo {HERE}:loop")


def test_a_process_that_cannot_start_is_told():
    with contextlib.closing(Sandbox(["no.such:job"])) as own, pytest.raises(Unavailable, match="is gone"):
        run(own, "echo")


CALLER = f"""
from services.sandbox.running import Sandbox
sandbox = Sandbox(["{HERE}:stubborn"])
generator = sandbox.run("{HERE}:stubborn", [], {{}})
print(*next(generator).facts["pids"], flush=True)
for _ in generator: pass
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_caller_that_dies_takes_its_processes_along(sign):
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", CALLER], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as caller:
        assert caller.stdout is not None
        pids = [int(word) for word in caller.stdout.readline().split()] + children(caller.pid, "services.sandbox.child")
        assert len(pids) == 3 and all(is_alive(pid) for pid in pids)
        os.kill(caller.pid, sign)
        caller.wait()
        assert gone(pids)


def children(parent: int, text: str) -> list[int]:
    """Living children of `parent` with `text` in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if int(status[1]) == parent and status[0] != "Z" and text in command:
                found.append(int(folder.name))
    return found
