"""Everything that can be set about the orchestrator, in one place per concern.

Must not know: where the values come from; the command line and a chart's environment are others' business.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.access.settings import Access
from orchestrator.file_settings import Files
from orchestrator.hygiene import Hygiene
from orchestrator.limits import Limits
from orchestrator.scheduling.pace import Pace
from orchestrator.scheduling.policy import Policies
from services.errors import BadOption
from services.profiles import COMPACT

EMBEDDED = "embedded"
"""Name of an orchestrator that is alone."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}")


@dataclass(frozen=True)
class Settings:
    """One orchestrator process."""

    store: str
    """Artifact store, a folder or s3://bucket/prefix. The stage servers must be given the same one."""

    database_url: str
    """SQLAlchemy URL of the database that holds the jobs and the workflow engine's tables: sqlite:///path, or
    PostgreSQL where several replicas share the work."""

    host: str = "127.0.0.1"
    """Address that the API listens on. Any but this machine's own needs authentication, see `access`."""

    port: int = 8000
    """TCP port of the gRPC API; 0 lets the system choose."""

    access: Access = field(default_factory=Access)
    """Who may call, TLS, and the audit log."""

    files: Files = field(default_factory=Files)
    """The server of signed addresses (orchestrator/file_server.py)."""

    metrics_host: str = "127.0.0.1"
    """Address that the Prometheus exporter listens on. It has no authentication: let nobody but Prometheus reach it."""

    metrics_port: int = 8010
    """TCP port of the Prometheus exporter; 0 lets the system choose."""

    executor_id: str = EMBEDDED
    """This replica's name: after a crash, the next process of this name takes up its jobs. No two live replicas may
    share it; a pod uses its own name. On PostgreSQL it must be given."""

    replicas: int = 1
    """How many orchestrators share the database. More than one need PostgreSQL."""

    pace: Pace = field(default_factory=Pace)
    """How often the queue is looked at, and when a silent replica is taken for dead."""

    policies: Policies = field(default_factory=Policies)
    """What each tenant may have: its weight, and how many jobs may run and wait."""

    running_jobs: int = 1
    """Jobs that run at once; more of them wait in the queue. One uses a small machine fully."""

    limits: Limits = field(default_factory=Limits)
    """How long a call may take, and how much of everything there may be at once."""

    running_stages: int = field(default_factory=lambda: max(1, os.cpu_count() or 1))
    """Stage runs under way at once, over all jobs. On one machine each takes about a core and up to a gigabyte."""

    max_upload_bytes: int = 20 * 10**9
    """Largest file that a client may send, in bytes."""

    profile: str = COMPACT
    """Profile of the jobs that choose none (services/profiles.py)."""

    resume: bool = True
    """Whether jobs that an earlier process left unfinished are taken up; otherwise they end as cancelled."""

    hygiene: Hygiene = field(default_factory=Hygiene)
    """What stays in the store, for how long, and its quota (orchestrator/hygiene.py)."""

    def require_identity(self) -> None:
        """Raises BadOption if jobs could be lost between replicas with these settings."""
        sqlite = self.database_url.startswith("sqlite")
        if sqlite and self.replicas != 1:
            raise BadOption(
                f"{self.replicas} replicas cannot share a SQLite database; give them PostgreSQL (--database), or run "
                "one."
            )
        if not sqlite and self.executor_id == EMBEDDED:
            raise BadOption(
                "an orchestrator on PostgreSQL needs a name of its own, so that its jobs are found again after a "
                "crash; give it with --executor-id, in a cluster the pod's name."
            )
        if not _NAME.fullmatch(self.executor_id):
            raise BadOption(f"the name {self.executor_id!r} cannot be used; take up to 63 letters, digits, - and '.'.")


@dataclass(frozen=True)
class Home:
    """The folder that an embedded stack keeps everything in."""

    path: Path

    @classmethod
    def default(cls) -> Home:
        """$OMNIMATTE_HOME, else ~/.local/share/omnimatte (or omnimatte in $XDG_DATA_HOME)."""
        chosen = os.environ.get("OMNIMATTE_HOME")
        if chosen:
            return cls(Path(chosen).expanduser().absolute())
        data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        return cls(Path(data).expanduser().absolute() / "omnimatte")

    def create(self) -> None:
        """Make the folder if it is not there. Raises BadOption if it cannot be made or written to."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadOption(
                f"the home folder {self.path} cannot be made ({error.strerror}); choose another with --home."
            ) from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise BadOption(f"the home folder {self.path} cannot be written to; choose another with --home.")

    @property
    def store(self) -> str:
        return str(self.path / "store")

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.path / 'orchestrator.sqlite'}"

    @property
    def weights(self) -> Path:
        """Where published weights are looked for: $OMNIMATTE_WEIGHTS, else a folder of this home."""
        chosen = os.environ.get("OMNIMATTE_WEIGHTS", "")
        return Path(chosen).expanduser().absolute() if chosen else self.path / "weights"

    @property
    def lock(self) -> Path:
        return self.path / "lock"
