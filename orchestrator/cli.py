"""The command `omnimatte`: runs what the arguments ask for, turns errors into one line and an exit status.

    omnimatte decompose clip.mp4 --mask vase.mp4 --box cup:40,60,120,150@0 --out layers/
    omnimatte up
    omnimatte jobs list --server 127.0.0.1:8000

Must not know: how anything is done. Heavy modules are imported by the command that needs them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence

from orchestrator.arguments import parser
from orchestrator.settings import Home
from orchestrator.wishes import merged
from services.errors import BadInput, Cancelled, OmnimatteError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status (see services/errors.py)."""
    try:
        parsed = parser().parse_args(arguments)
        return _COMMANDS[parsed.command](parsed)
    except OmnimatteError as error:
        return _ended(error)
    except KeyboardInterrupt:
        return _ended(Cancelled("stopped; run the same command again to resume from what is done."))
    except BrokenPipeError:
        return 0


def _ended(error: OmnimatteError) -> int:
    print(f"omnimatte: {' '.join(error.message.split())}", file=sys.stderr)
    return error.exit_code


def _home(parsed: argparse.Namespace) -> Home:
    return Home(parsed.home.expanduser().absolute()) if parsed.home else Home.default()


def _decompose(parsed: argparse.Namespace) -> int:
    from orchestrator.decompose import Wish, decompose

    if not parsed.objects:
        raise BadInput("no object is given; name at least one with --mask, --box or --point.")
    options = {
        "seed": parsed.seed,
        "profile": parsed.profile,
        "formats": parsed.formats or ["png"],
        "steps": parsed.steps,
        "long_side": parsed.long_side,
        "schedule": parsed.schedule,
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
        home=_home(parsed),
        force=parsed.force,
    )
    out = decompose(wish)
    print(out / "index.html")
    return 0


def _up(parsed: argparse.Namespace) -> int:
    from orchestrator.up import up
    from services.profiles import configured

    profile = parsed.profile or configured().name
    return up(_home(parsed), profile=profile, port=parsed.port, metrics_port=parsed.metrics_port)


def _jobs(parsed: argparse.Namespace) -> int:
    from google.protobuf.json_format import MessageToDict

    from orchestrator.api import omnimatte_pb2 as pb
    from orchestrator.client import Client

    with Client(parsed.server) as client:
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
        else:
            job = client.get(name) if parsed.action == "get" else client.cancel(name)
            print(json.dumps(MessageToDict(job, preserving_proto_field_name=True), indent=2))
    return 0


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
    "up": _up,
    "jobs": _jobs,
    "weights": _weights,
    "store": _store,
    "doctor": _doctor,
    "engines": _engines,
}


if __name__ == "__main__":
    sys.exit(main())
