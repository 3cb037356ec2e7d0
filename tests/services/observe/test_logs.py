"""Log lines: what they hold, and what they never hold."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from services.errors import BadOption
from services.observe import logs
from services.observe.about import about, current
from services.observe.secrets import without_secrets


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where lines go; afterwards everything is as before."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    ours = {name: logging.getLogger(name).level for name in ("orchestrator", "services", "model_repository")}
    # A library that other tests load may have silenced the whole process.
    disabled = root.manager.disable
    logging.disable(logging.NOTSET)
    yield io.StringIO()
    logging.disable(disabled)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in ours.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(False)


def test_a_json_line_says_whose_work_it_is_about(stream: io.StringIO) -> None:
    logs.configure("json", stream=stream)
    log = logging.getLogger("orchestrator.run")
    with about(job="j1", tenant="studio"), about(attempt="2"):
        log.info("job %s is %s", "j1", "failed")
    log.info("nobody's")
    logging.getLogger("library").info("not of interest")
    mine, nobodys = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert mine.pop("time").endswith("Z")
    assert mine == {
        "level": "INFO",
        "logger": "orchestrator.run",
        "message": "job j1 is failed",
        "job": "j1",
        "tenant": "studio",
        "attempt": "2",
    }
    assert "job" not in nobodys


def test_an_exception_is_one_line_of_json(stream: io.StringIO) -> None:
    logs.configure("json", stream=stream)
    try:
        raise ValueError("postgresql+psycopg://omni:hunter2@db/omnimatte\ndoes not answer")
    except ValueError:
        logging.getLogger("orchestrator").exception("failed\n{}")
    [line] = stream.getvalue().splitlines()
    data = json.loads(line)
    assert data["message"] == "failed\n{}"
    assert "ValueError" in data["exception"] and "hunter2" not in line


def test_a_text_line_cannot_be_forged(stream: io.StringIO) -> None:
    logs.configure("text", stream=stream)
    with about(job="j1"):
        logging.getLogger("orchestrator").info("clip %s", "a.mp4\n2025-01-01 ERROR orchestrator: all is lost")
    [line] = stream.getvalue().splitlines()
    assert line.endswith(" job=j1") and "INFO orchestrator: clip a.mp4\\n2025" in line


def test_what_starts_a_process_is_told_in_its_format(stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    logs.tell("ready")
    assert capsys.readouterr().err == "ready\n"
    logs.configure("json", stream=stream)
    logs.tell("ready")
    assert json.loads(stream.getvalue())["message"] == "ready"


def test_an_id_cannot_take_the_place_of_what_a_line_says(stream: io.StringIO) -> None:
    logs.configure("json", stream=stream)
    with about(message="all is well", level="DEBUG"):
        logging.getLogger("orchestrator").error("all is lost")
    line = json.loads(stream.getvalue())
    assert (line["message"], line["level"]) == ("all is lost", "ERROR")


def test_an_unknown_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(logs.VARIABLE, raising=False)
    assert (logs.chosen(), logs.chosen("json")) == ("text", "json")
    monkeypatch.setenv(logs.VARIABLE, "xml")
    with pytest.raises(BadOption, match="OMNIMATTE_LOG_FORMAT"):
        logs.chosen()


def test_ids_end_with_their_block_and_stay_out_of_other_threads() -> None:
    found: list[object] = []
    with about(job="j1"):
        thread = threading.Thread(target=lambda: found.append(dict(current())))
        thread.start()
        thread.join()
        assert current() == {"job": "j1"}
    assert current() == {} and found == [{}]


@pytest.mark.parametrize(
    "text",
    [
        "authorization: Bearer SECRET",
        "metadata (('authorization', 'Bearer SECRET'),)",
        "Authorization: Basic SECRET==",
        "key omni_0123456789abcdef_SECRETaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa was used",
        "token eyJSECRET.eyJzdWIiOiJ4In0.SECRET_SECRET",
        "cannot open postgresql+psycopg://omnimatte:SECRET@db:5432/omnimatte",
        "cannot open postgresql://omnimatte:p@SECRET@db/omnimatte",
        "GET http://files/jobs/1?expires=5&signature=SECRET failed",
        "https://bucket.s3/key?X-Amz-Credential=SECRET&X-Amz-Signature=SECRET",
        "https://account.blob/key?sv=2020&sig=SECRET",
        "{'password': 'SECRET', 'user': 'me'}",
        'aws_secret_access_key = "SECRET"',
        "OMNIMATTE_API_KEY=SECRET",
        "host=db password=SECRET dbname=x",
    ],
)
def test_secrets_are_taken_out(text: str) -> None:
    assert "SECRET" not in without_secrets(text)


@pytest.mark.parametrize(
    "text",
    [
        "job 0194f is failed",
        "page_token is not one that this server gave; leave it empty to begin at the first page.",
        "http://127.0.0.1:8000/metrics",
        "casper/vase: 3 of 8 tokens, key frame 4",
        "me@example.org sent clip.mp4",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert without_secrets(text) == text
