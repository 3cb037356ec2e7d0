"""The command line: the arguments of those commands that serve.

Must not know: how anything is done. Imports nothing that takes time, because every command pays for it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from services.observe.logs import FORMATS as FORMATS_OF_LOGS
from services.profiles import PROFILES
from services.registry import STAGES

FILES_PORT = 8020


def add_up(command: argparse.ArgumentParser) -> None:
    command.set_defaults(command="up")
    command.add_argument("--port", type=_port, default=8000, help="of the gRPC API (default: 8000; 0: a free one)")
    command.add_argument("--metrics-port", type=_port, default=8010, help="of Prometheus (default: 8010; 0: free)")
    command.add_argument(
        "--profile",
        choices=PROFILES,
        default="",
        help="models of jobs that choose none; loaded at the start (default: $OMNIMATTE_PROFILE or compact)",
    )
    add_home(command)
    _add_access(command)
    command.set_defaults(files_default=FILES_PORT)


def add_serve(command: argparse.ArgumentParser) -> None:
    command.set_defaults(command="serve")
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="settings as YAML, instead of all others (docs/kubernetes.md)"
    )
    for flag, variable, form, text in (
        ("--store", "OMNIMATTE_STORE", "URL", "artifact store, a folder or s3://bucket/prefix; the models' own"),
        ("--database", "OMNIMATTE_DATABASE_URL", "URL", "postgresql+psycopg://... or sqlite:///file"),
        ("--triton", "OMNIMATTE_TRITON", "HOST:PORT", "gRPC endpoint of the model server"),
        ("--executor-id", "OMNIMATTE_EXECUTOR_ID", "NAME", "this replica's own name, in a cluster its pod's"),
        ("--tenants", "OMNIMATTE_TENANTS", "FILE", "what each tenant may have (docs/operations.md)"),
    ):
        command.add_argument(flag, metavar=form, default="", help=f"{text} (default: ${variable})")
    command.add_argument("--replicas", type=_count, default=1, help="orchestrators that share the database")
    command.add_argument("--jobs", type=_count, default=4, help="jobs that run here at once (default: 4)")
    command.add_argument("--stages", type=_count, default=16, help="stage runs at once, over all jobs (default: 16)")
    command.add_argument(
        "--stage-limit",
        metavar="STAGE=N",
        action="append",
        default=[],
        type=_stage_limit,
        dest="stage_limits",
        help="runs of a stage at once (default: the instances of one model server); repeatable",
    )
    command.add_argument("--port", type=_port, default=8000, help="of the gRPC API (default: 8000; 0: a free one)")
    command.add_argument("--metrics-port", type=_port, default=8010, help="of Prometheus (default: 8010; 0: free)")
    command.add_argument(
        "--profile", choices=PROFILES, default="", help="models of jobs that choose none (default: $OMNIMATTE_PROFILE)"
    )
    _add_access(command)
    command.set_defaults(files_default=None)


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; give a whole number from 1 on")
    return int(text)


def _stage_limit(text: str) -> tuple[str, int]:
    stage, _, count = text.partition("=")
    if stage not in STAGES:
        raise argparse.ArgumentTypeError(f"{text!r}: write STAGE=N; the stages are {', '.join(STAGES)}")
    return stage, _count(count)


def _add_access(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--log-format",
        choices=FORMATS_OF_LOGS,
        default="",
        help="of log lines (default: $OMNIMATTE_LOG_FORMAT or text)",
    )
    command.add_argument("--host", default="127.0.0.1", help="address of the gRPC API (default: this machine only)")
    command.add_argument(
        "--metrics-host", default="127.0.0.1", help="address of Prometheus (default: this machine only)"
    )
    command.add_argument(
        "--files-port",
        type=_port,
        default=None,
        help="of the server of signed addresses, on --host (default: up: 8020 on this machine only; serve: none)",
    )
    command.add_argument(
        "--files-url", metavar="URL", default="", help="how signed addresses begin (default: where it listens)"
    )
    group = command.add_argument_group("who may call", "see docs/security.md; default: everybody on this machine")
    group.add_argument("--api-keys", action="store_true", help="ask for an API key (omnimatte keys)")
    group.add_argument("--jwt-keys", type=Path, metavar="FILE", help="ask for a token that a key of this JWKS signed")
    group.add_argument("--jwt-issuer", metavar="TEXT", default="", help="what its `iss` must say")
    group.add_argument("--jwt-audience", metavar="TEXT", default="", help="what its `aud` must hold")
    group.add_argument("--jwt-tenant-claim", metavar="NAME", default="tenant", help="default: tenant")
    group.add_argument("--tls-cert", type=Path, metavar="FILE", help="the server's certificate, PEM")
    group.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, PEM")
    group.add_argument(
        "--client-ca", type=Path, metavar="FILE", help="clients must have a certificate of this authority"
    )
    group.add_argument("--insecure", action="store_true", help="let everybody in who reaches --host")
    group.add_argument("--audit-log", metavar="FILE", default="", help="who changed what; default: -, standard error")


def add_home(command: argparse.ArgumentParser) -> None:
    place = "$OMNIMATTE_HOME or ~/.local/share/omnimatte"
    command.add_argument("--home", type=Path, metavar="DIR", help=f"the stack's folder (default: {place})")


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give a number from 0 to 65535")
    return int(text)
