"""The command line: every command's arguments. `orchestrator/cli.py` runs what was parsed.

Must not know: how anything is done. Imports nothing that takes time, because every command pays for it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from orchestrator.batch_arguments import add_batch
from orchestrator.engines_cli import add_engines
from orchestrator.options import IMAGE_CONTEXTS, REGIONS, SCHEDULES, TIERS
from orchestrator.server_arguments import add_home, add_serve, add_up
from orchestrator.wishes import ObjectWish, box_wish, mask_wish, point_wish
from services.deliverables import COMPRESSIONS, DISPLAY_SPACES, FORMATS, PNG_BITS, SCENE_SPACES
from services.errors import BadOption
from services.profiles import MODELS, PROFILES

DEFAULT_SERVER = "127.0.0.1:8000"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadOption(f"{message}; see {self.prog} --help.")


class _ObjectAction(argparse.Action):
    """Collects objects of every kind in one list, in the order of the command line."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        kinds: dict[str, Callable[[str], ObjectWish]] = {
            "--mask": mask_wish,
            "--box": box_wish,
            "--point": point_wish,
            "--not-point": lambda text: point_wish(text, positive=False),
        }
        namespace.objects = [*namespace.objects, kinds[str(option)](values)]


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    text = "Takes videos apart into a clean background and one layer per object."
    root: argparse.ArgumentParser = _Parser(prog="omnimatte", description=text)
    commands = root.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    _add_decompose(commands.add_parser("decompose", help="take one video apart", allow_abbrev=False))
    _add_compose(commands.add_parser("compose", help="put delivered layers together again, changed"))
    batching = commands.add_parser("batch", help="take many videos apart, on a server, from a manifest")
    add_batch(batching)
    batching.add_argument("--server", metavar="HOST:PORT", default=DEFAULT_SERVER, help=f"default: {DEFAULT_SERVER}")
    _add_credentials(batching)
    _add_ui(commands.add_parser("ui", help="a page to work on: click on objects, decompose, edit, download"))
    add_up(commands.add_parser("up", help="run the whole stack on this machine, in the foreground"))
    add_serve(commands.add_parser("serve", help="run an orchestrator over a model server that runs elsewhere"))
    _add_jobs(commands.add_parser("jobs", help="look after the jobs of a running server"))
    _add_keys(commands.add_parser("keys", help="make, list and revoke API keys"))
    _add_weights(commands.add_parser("weights", help="list, get and check published weights"))
    _add_store(commands.add_parser("store", help="look after what a server keeps"))
    _add_doctor(commands.add_parser("doctor", help="what this machine can run, and what is missing"))
    add_engines(commands.add_parser("engines", help="prepare the small networks for this machine's GPU"))
    return root


def _add_decompose(command: argparse.ArgumentParser) -> None:
    command.set_defaults(command="decompose", objects=[])
    command.add_argument("video", type=Path, metavar="VIDEO", help="the clip")
    objects = command.add_argument_group("objects", "at least one; their order is the order of the job")
    for flag, form, text in (
        ("--mask", "[LABEL=]PATH", "an object's masks: a video, a folder of images, or one image for all frames"),
        ("--box", "LABEL:x0,y0,x1,y1[@frame]", "a box around the object in one frame (default: the first), in pixels"),
        ("--point", "LABEL:x,y[@frame]", "a point on the object"),
        ("--not-point", "LABEL:x,y[@frame]", "a point that is not on the object, beside its box or points"),
    ):
        objects.add_argument(flag, metavar=form, action=_ObjectAction, dest="objects", help=text)
    objects.add_argument(
        "--no-layer", metavar="LABEL", action="append", default=[], help="remove this object, but deliver no layer"
    )
    command.add_argument("--preserve", type=Path, metavar="PATH", help="mask of what no removal may change")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    command.add_argument("--force", action="store_true", help="replace DIR if it is there")
    command.add_argument("--seed", type=int, default=0, help="seed of the noise (default: 0)")
    command.add_argument("--steps", type=int, default=0, help="denoising steps (default: the model's)")
    command.add_argument("--long-side", type=int, default=0, help="most pixels along a layer (default: the profile's)")
    command.add_argument("--region", choices=REGIONS, default=REGIONS[0], help="what of a large frame is worked on")
    command.add_argument("--schedule", choices=SCHEDULES, default=SCHEDULES[0], help="how thoroughly to optimise")
    _add_delivery(command)
    _add_models(command)
    command.add_argument("--server", metavar="HOST:PORT", default="", help="use this server instead of an own stack")
    _add_scheduling(command)
    _add_credentials(command)
    add_home(command)


def _add_compose(command: argparse.ArgumentParser) -> None:
    command.set_defaults(command="compose")
    command.add_argument(
        "edit", type=Path, metavar="EDIT.yaml", help="what is done to which layer; see docs/compose.md"
    )
    command.add_argument("--out", type=Path, required=True, metavar="PATH", help="a movie, or a folder of pictures")
    command.add_argument("--source", type=Path, metavar="DIR", help="edit this decomposition, whatever the edit says")
    command.add_argument("--force", action="store_true", help="replace PATH if it is there")


def _add_ui(command: argparse.ArgumentParser) -> None:
    command.set_defaults(command="ui")
    command.add_argument("--host", default="127.0.0.1", help="where the page is served (default: 127.0.0.1)")
    command.add_argument("--port", type=int, default=7860, help="0 for any free one (default: 7860)")
    command.add_argument("--server", metavar="HOST:PORT", default="", help="use this server instead of an own stack")
    _add_credentials(command)
    add_home(command)


def _add_scheduling(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("queue", "for --server")
    group.add_argument("--batch", action="store_true", help="let every job that somebody waits for go first")
    group.add_argument("--priority", type=int, default=0, help="0 (default) to 9: higher first among your own jobs")
    group.add_argument("--timeout", type=float, default=0.0, metavar="SECONDS", help="fail if not done by then")
    group.add_argument(
        "--allow-partial", action="store_true", help="succeed without the layers of objects that fail for good"
    )


def _add_delivery(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("delivery", "see docs/deliverables.md")
    group.add_argument(
        "--format",
        metavar="FORMAT",
        action="append",
        default=[],
        choices=FORMATS,
        dest="formats",
        help=f"repeatable; {', '.join(FORMATS)} (default: png)",
    )
    group.add_argument("--start-frame", type=int, default=0, metavar="N", help="number of the first frame (default: 0)")
    group.add_argument("--name", default="", help="of files, like {clip}/{layer}/{clip}_{layer}.{frame}")
    group.add_argument("--png-bits", type=int, choices=PNG_BITS, default=0, help="default: as many as the clip needs")
    group.add_argument("--exr-compression", choices=COMPRESSIONS, default=COMPRESSIONS[0])
    group.add_argument(
        "--color", metavar="SPACE", default="", help=f"{' or '.join(DISPLAY_SPACES)} (default: as it is)"
    )
    group.add_argument("--exr-color", metavar="SPACE", default="", help=f"{' (default) or '.join(SCENE_SPACES)}")
    group.add_argument("--preview-color", metavar="#RRGGBB", default="", help="what previews show layers over")


def _add_models(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("models", "see docs/models.md; what is not given is the service's choice")
    group.add_argument("--profile", choices=PROFILES, default="", help="set of models")
    group.add_argument(
        "--model",
        metavar="STAGE=NAME",
        action="append",
        default=[],
        type=_model,
        dest="models",
        help=f"another model than the profile's for one of {', '.join(MODELS)}; repeatable",
    )
    group.add_argument("--tier", choices=TIERS, default="", help="quality of a published Casper (default: full)")
    group.add_argument("--prompt", default="", help="the scene without the objects (default: empty scene)")
    group.add_argument(
        "--casper-size", metavar="HxW", default="", help="of its frames; a smaller one needs less memory"
    )
    group.add_argument("--image-context", choices=IMAGE_CONTEXTS, default="", help="what Wan's picture encoder sees")
    group.add_argument("--runs-together", type=int, default=0, help="runs of Casper in one request (default: all)")


def _model(text: str) -> tuple[str, str]:
    stage, _, name = text.partition("=")
    if stage not in MODELS or name not in MODELS[stage]:
        known = MODELS.get(stage)
        what = f"{stage} has {', '.join(known)}" if known else f"the stages are {', '.join(MODELS)}"
        raise argparse.ArgumentTypeError(f"{text!r} names no model; write STAGE=NAME: {what}")
    return stage, name


def _add_credentials(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("credentials", "for --server")
    group.add_argument("--api-key-file", type=Path, metavar="FILE", help="API key or token (else: $OMNIMATTE_API_KEY)")
    group.add_argument("--ca", type=Path, metavar="FILE", help="connect by TLS to a server of this authority")
    group.add_argument("--tls", action="store_true", help="connect by TLS to a server of a well-known authority")
    group.add_argument("--cert", type=Path, metavar="FILE", help="certificate of this client, where one is asked for")
    group.add_argument("--key", type=Path, metavar="FILE", help="its private key")


def _add_jobs(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(required=True, metavar="ACTION", parser_class=_Parser)
    for name, text in (
        ("list", "all jobs, newest first"),
        ("get", "one job as JSON"),
        ("cancel", "ask a job to stop"),
        ("delete", "forget a job that has ended"),
        ("download", "fetch the results of a job that has succeeded"),
        ("compose", "render an edit of its layers"),
    ):
        action = actions.add_parser(name, help=text)
        action.set_defaults(command="jobs", action=name)
        action.add_argument("--server", metavar="HOST:PORT", default=DEFAULT_SERVER, help=f"default: {DEFAULT_SERVER}")
        _add_credentials(action)
        if name != "list":
            action.add_argument("job", metavar="JOB", help="its name, as list shows it")
        if name == "compose":
            action.add_argument("edit", type=Path, metavar="EDIT.yaml", help="see docs/compose.md")
        if name in ("download", "compose"):
            action.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")


def _add_keys(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(required=True, metavar="ACTION", parser_class=_Parser)
    creating = actions.add_parser("create", help="make a key; it is shown this once")
    creating.add_argument("--tenant", metavar="NAME", required=True, help="whose jobs it opens")
    creating.add_argument("--days", type=float, default=0.0, help="how long it is valid (default: until it is revoked)")
    listing = actions.add_parser("list", help="the keys, without their secrets")
    listing.add_argument("--tenant", metavar="NAME", default="", help="only its keys")
    revoking = actions.add_parser("revoke", help="refuse a key from now on")
    revoking.add_argument("id", metavar="ID", help="as list shows it")
    for name, action in (("create", creating), ("list", listing), ("revoke", revoking)):
        action.set_defaults(command="keys", action=name)
        action.add_argument(
            "--database", metavar="URL", help="the server's (default: $OMNIMATTE_DATABASE_URL, or the one in --home)"
        )
        add_home(action)


def _add_weights(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(required=True, metavar="ACTION", parser_class=type(command))
    listing = actions.add_parser("list", help="what there is, under which licence, and what is here")
    listing.set_defaults(command="weights", action="list")
    listing.add_argument("--json", action="store_true", help="as JSON")

    pulling = actions.add_parser("pull", help="fetch weights, or go on with it; checks them")
    pulling.set_defaults(command="weights", action="pull")
    pulling.add_argument("names", metavar="NAME", nargs="+", help="as list shows them")
    pulling.add_argument("--from", dest="source", type=Path, metavar="DIR", help="take the files from this folder")
    pulling.add_argument(
        "--mirror", metavar="URL", help="use this server (default: $OMNIMATTE_WEIGHTS_MIRROR or the hub)"
    )

    checking = actions.add_parser("verify", help="hash again what is here")
    checking.set_defaults(command="weights", action="verify")
    checking.add_argument("names", metavar="NAME", nargs="*", help="default: all that are here")

    importing = actions.add_parser("import", help="take over a file that you have got")
    importing.set_defaults(command="weights", action="import")
    importing.add_argument("file", type=Path, metavar="PATH", help="a checkpoint; it is told by its tensors")

    for action in (pulling, importing):
        action.add_argument("--accept-licence", action="store_true", help="do not ask whether you accept the licence")
    for action in (listing, pulling, checking, importing):
        _add_weights_home(action)


def _add_weights_home(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--home",
        type=Path,
        metavar="DIR",
        help="the stack's folder, which holds weights/ (default: $OMNIMATTE_WEIGHTS is the folder of the weights, "
        "or weights/ in $OMNIMATTE_HOME or ~/.local/share/omnimatte)",
    )


def _add_store(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(required=True, metavar="ACTION", parser_class=type(command))
    usage = actions.add_parser("usage", help="how much it holds, as of the last collection, and its limit")
    collecting = actions.add_parser("collect", help="delete what no job needs any more, now")
    collecting.add_argument("--dry-run", action="store_true", help="only say what would go")
    checking = actions.add_parser("fsck", help="check that everything is there and whole; status 1 if not")
    checking.add_argument("--repair", action="store_true", help="delete what is broken or nobody's")
    for name, action in (("usage", usage), ("collect", collecting), ("fsck", checking)):
        action.set_defaults(command="store", action=name)
        action.add_argument(
            "--store", metavar="URL", default="", help="folder or s3://bucket/prefix (default: --home's)"
        )
        action.add_argument(
            "--database", metavar="URL", default="", help="the server's (default: $OMNIMATTE_DATABASE_URL or --home's)"
        )
        add_home(action)


def _add_doctor(command: argparse.ArgumentParser) -> None:
    command.set_defaults(command="doctor")
    command.add_argument("--json", action="store_true", help="as JSON")
    _add_weights_home(command)
