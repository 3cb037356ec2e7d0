"""Writes docs/reference.md, every call and message of the API, from its definition, or checks that it is up to date.

    python -m orchestrator.api.document            write it
    python -m orchestrator.api.document --check    exit 1 if it differs from what would be written

Needs grpcio-tools, which only developers install. Must not know: how any call is answered.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from google.api import field_behavior_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from services.errors import tree

_ROOT = Path(__file__).resolve().parents[2]
_PROTO = "orchestrator/api/omnimatte.proto"
PLACE = _ROOT / "docs" / "reference.md"

_HEAD = """\
<!-- Written by `python -m orchestrator.api.document`; change orchestrator/api/omnimatte.proto, not this page. -->
# API reference

Package `omnimatte.v1`. [api.md](api.md) tells how to use it. "in": the caller must give it; "may": it may; "out":
only the server sets it.

"""
_BEHAVIOUR = {
    field_behavior_pb2.REQUIRED: "in",
    field_behavior_pb2.OPTIONAL: "may",
    field_behavior_pb2.OUTPUT_ONLY: "out",
    field_behavior_pb2.IDENTIFIER: "name",
}
# Numbers of the fields of descriptor.proto, of which a comment's path is made.
_MESSAGE, _ENUM, _SERVICE, _METHOD, _FIELD, _NESTED, _NESTED_ENUM, _VALUE = 4, 5, 6, 2, 2, 3, 4, 2

Path_ = tuple[int, ...]


def described() -> FileDescriptorProto:
    """The definition with its comments."""
    from google.rpc import status_pb2
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        arguments = [
            "protoc",
            f"--proto_path={_ROOT}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--proto_path={Path(status_pb2.__file__).parents[2]}",
            "--include_source_info",
            f"--descriptor_set_out={out}",
            str(_ROOT / _PROTO),
        ]
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc refused the definition; see its message above.")
        found = FileDescriptorSet.FromString(out.read_bytes())
    return found.file[-1]


class _Page:
    """The page of one definition."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._package = f".{file.package}."
        self._comments = {
            tuple(place.path): " ".join(place.leading_comments.split()) for place in file.source_code_info.location
        }

    def lines(self) -> Iterator[str]:
        for s, service in enumerate(self._file.service):
            yield f"## Calls\n\n{self._comment((_SERVICE, s))}\n"
            for m, method in enumerate(service.method):
                asks, answers = self._link(method.input_type), self._link(method.output_type)
                asks = f"stream of {asks}" if method.client_streaming else asks
                answers = f"stream of {answers}" if method.server_streaming else answers
                yield f"### {method.name}\n\n{asks} → {answers}\n\n{self._comment((_SERVICE, s, _METHOD, m))}\n"
        yield "## Messages\n"
        for i, message in enumerate(self._file.message_type):
            yield from self._message(message, (_MESSAGE, i), message.name)
        yield "## Errors\n\nThe reason is in the `google.rpc.ErrorInfo` of an error; the domain is `omnimatte`.\n"
        yield "| reason | status | send again as it is | exit status of a command |\n|---|---|---|---|"
        for reason, kind in sorted(tree().items()):
            yield f"| `{reason}` | `{kind.status}` | {'yes' if kind.retryable else ''} | {kind.exit_code} |"

    def _message(self, message: DescriptorProto, path: Path_, name: str) -> Iterator[str]:
        yield f"### {name}\n\n{self._comment(path)}\n"
        if message.field:
            yield "| field | type | | |\n|---|---|---|---|"
            for i, field in enumerate(message.field):
                yield self._field(message, field, (*path, _FIELD, i))
            yield ""
        for i, enum in enumerate(message.enum_type):
            yield from self._enum(enum, (*path, _NESTED_ENUM, i), f"{name}.{enum.name}")
        for i, nested in enumerate(message.nested_type):
            if not nested.options.map_entry:
                yield from self._message(nested, (*path, _NESTED, i), f"{name}.{nested.name}")

    def _enum(self, enum: EnumDescriptorProto, path: Path_, name: str) -> Iterator[str]:
        yield f"### {name}\n\n{self._comment(path)}\n\n| value | number | |\n|---|---|---|"
        for i, value in enumerate(enum.value):
            yield f"| `{value.name}` | {value.number} | {self._comment((*path, _VALUE, i))} |"
        yield ""

    def _field(self, message: DescriptorProto, field: FieldDescriptorProto, path: Path_) -> str:
        behaviours = field.options.Extensions[field_behavior_pb2.field_behavior]
        told = " ".join(_BEHAVIOUR[one] for one in behaviours)
        one_of = field.HasField("oneof_index") and not field.proto3_optional
        group = f"one of `{message.oneof_decl[field.oneof_index].name}`: " if one_of else ""
        return f"| `{field.name}` | {self._type(message, field)} | {told} | {group}{self._comment(path)} |"

    def _type(self, message: DescriptorProto, field: FieldDescriptorProto) -> str:
        for nested in message.nested_type:
            if nested.options.map_entry and field.type_name.endswith(f".{message.name}.{nested.name}"):
                key, value = nested.field
                return f"map of {self._type(nested, key)} to {self._type(nested, value)}"
        kind = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
        text = self._link(field.type_name) if field.type_name else f"`{kind}`"
        return f"{text}, repeated" if field.label == FieldDescriptorProto.LABEL_REPEATED else text

    def _link(self, name: str) -> str:
        if not name.startswith(self._package):
            return f"`{name.lstrip('.')}`"
        own = name.removeprefix(self._package)
        return f"[{own}](#{own.lower().replace('.', '')})"

    def _comment(self, path: Path_) -> str:
        return self._comments.get(path, "").replace("|", "\\|")


def page() -> str:
    """The whole page."""
    return _HEAD + "\n".join(_Page(described()).lines()).rstrip() + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m orchestrator.api.document", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 if the committed page is stale")
    text = page()
    if not parser.parse_args(arguments).check:
        PLACE.write_text(text)
        return 0
    if PLACE.is_file() and PLACE.read_text() == text:
        return 0
    print("docs/reference.md is not what the API's definition gives; run python -m orchestrator.api.document.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
