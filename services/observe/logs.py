"""Log lines that say whose work they are about, for people (text) or for machines (a line of JSON each).

    {"time": "2025-01-31T12:00:00.000Z", "level": "INFO", "logger": "orchestrator.run", "message": "job 01.. is done",
     "job": "0194...", "tenant": "studio", "attempt": "1", "trace": "4bf9...", "exception": "Traceback ..."}

Set up by whoever owns the process, a command or a Triton instance; libraries only use `logging`.
Must not know: what is logged.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TextIO

from services.errors import BadOption
from services.observe import tracing
from services.observe.about import current
from services.observe.secrets import without_secrets

FORMATS = ("text", "json")
VARIABLE = "OMNIMATTE_LOG_FORMAT"

_OURS = ("orchestrator", "services", "model_repository")


def chosen(given: str = "") -> str:
    """The format that is `given`, else the environment's, else text. Raises BadOption for an unknown one."""
    form = given or os.environ.get(VARIABLE, "") or FORMATS[0]
    if form not in FORMATS:
        raise BadOption(f"{VARIABLE} is {form!r}; use {' or '.join(FORMATS)}.")
    return form


def configure(form: str, *, stream: TextIO | None = None, quiet: Sequence[str] = ()) -> None:
    """All log lines of this process go to `stream` (the standard error stream) as `form`: ours from INFO on, those of
    libraries from WARNING on. quiet: loggers of libraries that would bring a handler of their own where they have none.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.INFO)
    for name in quiet:
        logging.getLogger(name).addHandler(logging.NullHandler())
    logging.captureWarnings(True)


def tell(text: str, *, level: int = logging.INFO) -> None:
    """Tell whoever started the process: a bare line for a person, a log line where these are JSON."""
    if any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers):
        logging.getLogger(__name__).log(level, "%s", text)
    else:
        print(text, file=sys.stderr, flush=True)


class JsonLines(logging.Formatter):
    """One JSON object a line, without secrets. Line breaks are escaped, so nobody can forge a line with a name."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
        }
        # Nobody's id takes the place of what the line itself says.
        ids = {**current(), **tracing.ids()}
        line |= {name: value for name, value in ids.items() if name not in line}
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


class TextLines(logging.Formatter):
    """Time, level, logger, message and ids, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        ids = "".join(f" {name}={value}" for name, value in {**current(), **tracing.ids()}.items())
        moment = _time(record).astimezone().isoformat(sep=" ", timespec="seconds")
        # The message of a line must not look like further lines; a traceback may have as many as it needs.
        message = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        text = f"{moment} {record.levelname} {record.name}: {message}{ids}"
        if record.exc_info and record.exc_info[0] is not None:
            text += "\n" + self.formatException(record.exc_info)
        return without_secrets(text)


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
