"""The command `omnimatte`: runs what the arguments ask for, turns errors into one line and an exit status.

    omnimatte decompose clip.mp4 --mask vase.mp4 --box cup:40,60,120,150@0 --out layers/
    omnimatte compose edit.yaml --out edited.mp4
    omnimatte up
    omnimatte jobs list --server 127.0.0.1:8000
    omnimatte keys create --tenant studio

Must not know: how anything is done. Heavy modules are imported by the command that needs them.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.access.settings import Access, JwtSettings, TlsSettings
from orchestrator.arguments import parser
from orchestrator.file_settings import Files, Signing
from orchestrator.settings import Home
from orchestrator.wishes import merged
from services.deliverables import Delivery
from services.errors import BadInput, BadOption, Cancelled, OmnimatteError
from services.observe import logs, tracing

if TYPE_CHECKING:
    from orchestrator.access.credentials import Credentials
    from orchestrator.settings_file import Deployment


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status (see services/errors.py)."""
    try:
        parsed = parser().parse_args(arguments)
        with _observed(parsed):
            return _COMMANDS[parsed.command](parsed)
    except OmnimatteError as error:
        return _ended(error)
    except KeyboardInterrupt:
        return _ended(Cancelled("stopped; run the same command again to resume from what is done."))
    except BrokenPipeError:
        return 0


@contextlib.contextmanager
def _observed(parsed: argparse.Namespace) -> Iterator[None]:
    """Log lines of the servers, traces of all that call or are called."""
    server = parsed.command in ("up", "serve")
    if server:
        # The stages are processes of ours that look there.
        os.environ[logs.VARIABLE] = logs.chosen(parsed.log_format)
        logs.configure(os.environ[logs.VARIABLE], quiet=["dbos"])
    # A server's life is no part of anybody's trace.
    command = contextlib.nullcontext() if server else tracing.span(f"omnimatte {parsed.command}")
    with tracing.exporting("omnimatte-orchestrator" if server else "omnimatte"), command:
        yield


def _ended(error: OmnimatteError) -> int:
    logs.tell(f"omnimatte: {' '.join(error.message.split())}", level=logging.ERROR)
    return error.exit_code


def _home(parsed: argparse.Namespace) -> Home:
    return Home(parsed.home.expanduser().absolute()) if parsed.home else Home.default()


def _credentials(parsed: argparse.Namespace) -> Credentials:
    from orchestrator.access.credentials import Credentials

    return Credentials.load(
        ca=parsed.ca,
        certificate=parsed.cert,
        key=parsed.key,
        api_key_file=parsed.api_key_file,
        token=os.environ.get("OMNIMATTE_API_KEY", ""),
        tls=parsed.tls,
    )


def _decompose(parsed: argparse.Namespace) -> int:
    from orchestrator.decompose import Wish, decompose

    if not parsed.objects:
        raise BadInput("no object is given; name at least one with --mask, --box or --point.")
    options = {
        "seed": parsed.seed,
        "profile": parsed.profile,
        "formats": parsed.formats or ["png"],
        "delivery": {name: getattr(parsed, name) for name in Delivery.__dataclass_fields__},
        "steps": parsed.steps,
        "long_side": parsed.long_side,
        "schedule": parsed.schedule,
        "region": parsed.region,
        "models": dict(parsed.models),
        "casper": {
            "tier": parsed.tier,
            "prompt": parsed.prompt,
            "size": parsed.casper_size,
            "image_context": parsed.image_context,
            "runs_together": parsed.runs_together,
        },
    }
    wish = Wish(
        video=parsed.video,
        objects=tuple(merged(parsed.objects, without_layer=parsed.no_layer)),
        out=parsed.out,
        preserve=parsed.preserve,
        options=options,
        server=parsed.server,
        credentials=_credentials(parsed),
        home=_home(parsed),
        force=parsed.force,
        scheduling={
            "class": "batch" if parsed.batch else "interactive",
            "priority": parsed.priority,
            "timeout": parsed.timeout,
        },
        allow_partial=parsed.allow_partial,
    )
    out = decompose(wish)
    print(out / "index.html")
    return 0


def _batch(parsed: argparse.Namespace) -> int:
    from orchestrator.batch import Batch, batch

    result = parsed.result or parsed.manifest.with_name(f"{parsed.manifest.name}.jobs.jsonl")
    failed = batch(Batch(parsed.manifest, result, parsed.server, _credentials(parsed), parsed.out))
    print(result)
    return 1 if failed else 0


def _compose(parsed: argparse.Namespace) -> int:
    # It touches frames, which the orchestrator's own modules never do.
    rendering = _brought("services.compose.main", extra="stages")
    print(rendering.compose(parsed.edit, parsed.out, source=parsed.source, force=parsed.force))
    return 0


def _brought(module: str, *, extra: str) -> Any:
    """A module that needs more than the client and the orchestrator do. Raises BadOption where that is missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise BadOption(
            f"this command needs {error.name}, which is not installed; install it with: pip install "
            f"'omnimatte[{extra}]'."
        ) from error


def _ui(parsed: argparse.Namespace) -> int:
    # A client like any other; nothing here depends on it.
    page = _brought("ui.server", extra="ui")
    wish = page.Wish(parsed.host, parsed.port, parsed.server, _credentials(parsed), _home(parsed))
    return int(page.serve(wish))


def _up(parsed: argparse.Namespace) -> int:
    from orchestrator.up import up
    from services.profiles import configured

    profile = parsed.profile or configured().name
    return up(
        _home(parsed),
        profile=profile,
        port=parsed.port,
        metrics_port=parsed.metrics_port,
        host=parsed.host,
        metrics_host=parsed.metrics_host,
        access=_access(parsed),
        files=_files(parsed),
    )


def _files(parsed: argparse.Namespace) -> Files:
    signing = Signing(base_url=parsed.files_url)
    if parsed.files_port is None:
        # Unasked, no other machine is served.
        return Files(port=parsed.files_default, signing=signing)
    return Files(host=parsed.host, port=parsed.files_port, tls=_access(parsed).tls, signing=signing)


def _serve(parsed: argparse.Namespace) -> int:
    from orchestrator.serve import serve
    from orchestrator.settings_file import read_deployment

    if parsed.config is not None:
        return serve(read_deployment(parsed.config, os.environ))
    return serve(_deployment(parsed))


def _deployment(parsed: argparse.Namespace) -> Deployment:
    from orchestrator.hygiene import Hygiene
    from orchestrator.scheduling.policies_file import read_policies
    from orchestrator.scheduling.policy import Policies
    from orchestrator.settings import EMBEDDED, Settings
    from orchestrator.settings_file import Deployment
    from services.profiles import configured
    from services.registry import STAGES

    tenants = parsed.tenants or os.environ.get("OMNIMATTE_TENANTS", "")
    settings = Settings(
        store=_required(parsed.store, "OMNIMATTE_STORE", "--store"),
        database_url=_required(parsed.database, "OMNIMATTE_DATABASE_URL", "--database"),
        host=parsed.host,
        port=parsed.port,
        access=_access(parsed),
        files=_files(parsed),
        metrics_host=parsed.metrics_host,
        metrics_port=parsed.metrics_port,
        executor_id=parsed.executor_id or os.environ.get("OMNIMATTE_EXECUTOR_ID", "") or EMBEDDED,
        replicas=parsed.replicas,
        policies=read_policies(Path(tenants)) if tenants else Policies(),
        running_jobs=parsed.jobs,
        running_stages=parsed.stages,
        profile=parsed.profile or configured().name,
        hygiene=Hygiene.configured(),
    )
    triton = _required(parsed.triton, "OMNIMATTE_TRITON", "--triton")
    return Deployment(settings, models=dict.fromkeys(STAGES, triton), stage_limits=dict(parsed.stage_limits))


def _required(given: str, variable: str, flag: str) -> str:
    value = given or os.environ.get(variable, "")
    if not value:
        raise BadOption(f"{flag} is missing; give it, or set {variable}.")
    return value


def _access(parsed: argparse.Namespace) -> Access:
    jwt, tls = None, None
    if parsed.jwt_keys is not None:
        jwt = JwtSettings(parsed.jwt_keys, parsed.jwt_issuer, parsed.jwt_audience, parsed.jwt_tenant_claim)
    elif parsed.jwt_issuer or parsed.jwt_audience:
        raise BadOption("--jwt-issuer and --jwt-audience need --jwt-keys FILE.")
    if parsed.tls_cert is not None and parsed.tls_key is not None:
        tls = TlsSettings(parsed.tls_cert, parsed.tls_key, parsed.client_ca)
    elif parsed.tls_cert or parsed.tls_key or parsed.client_ca:
        raise BadOption("TLS needs --tls-cert and --tls-key; --client-ca comes beside them.")
    return Access(api_keys=parsed.api_keys, jwt=jwt, tls=tls, insecure=parsed.insecure, audit_log=parsed.audit_log)


def _jobs(parsed: argparse.Namespace) -> int:
    from google.protobuf.json_format import MessageToDict

    from orchestrator.api import omnimatte_pb2 as pb
    from orchestrator.client import Client

    with Client(parsed.server, credentials=_credentials(parsed)) as client:
        if parsed.action == "list":
            for job in client.list():
                created = job.create_time.ToDatetime().isoformat(sep=" ", timespec="seconds")
                labels = ",".join(item.label for item in job.spec.objects)
                print(f"{job.name}  {pb.Job.State.Name(job.state):10}  {created}  {job.spec.source.filename}  {labels}")
            return 0
        name = parsed.job if parsed.job.startswith("jobs/") else f"jobs/{parsed.job}"
        if parsed.action == "delete":
            client.delete(name)
        elif parsed.action == "download":
            client.download(name, parsed.out)
            print(parsed.out / "index.html")
        elif parsed.action == "compose":
            client.compose(name, _text(parsed.edit), parsed.out)
            print(parsed.out)
        else:
            job = client.get(name) if parsed.action == "get" else client.cancel(name)
            print(json.dumps(MessageToDict(job, preserving_proto_field_name=True), indent=2))
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read; give a YAML file.") from error


def _keys(parsed: argparse.Namespace) -> int:
    from orchestrator.access import keys_cli

    home = _home(parsed)
    url = parsed.database or os.environ.get("OMNIMATTE_DATABASE_URL")
    if not url:
        home.create()
    return keys_cli.run(parsed, database_url=url or home.database_url)


def _weights(parsed: argparse.Namespace) -> int:
    from orchestrator import weights_cli

    return weights_cli.run(parsed)


def _store(parsed: argparse.Namespace) -> int:
    from orchestrator import store_cli

    return store_cli.run(parsed)


def _doctor(parsed: argparse.Namespace) -> int:
    from orchestrator import doctor

    return doctor.run(parsed)


def _engines(parsed: argparse.Namespace) -> int:
    from orchestrator.engines_cli import engines

    return engines(parsed)


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "decompose": _decompose,
    "batch": _batch,
    "compose": _compose,
    "ui": _ui,
    "up": _up,
    "serve": _serve,
    "jobs": _jobs,
    "keys": _keys,
    "weights": _weights,
    "store": _store,
    "doctor": _doctor,
    "engines": _engines,
}


if __name__ == "__main__":
    sys.exit(main())
