"""The reference tells of every call, message, field and reason that there is."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor

from orchestrator.api import omnimatte_pb2 as pb
from orchestrator.api.document import PLACE, page
from services.errors import tree


def messages(descriptor: Descriptor, prefix: str = "") -> list[tuple[str, Descriptor]]:
    name = prefix + descriptor.name
    nested = [one for one in descriptor.nested_types if not one.GetOptions().map_entry]
    return [(name, descriptor), *(found for one in nested for found in messages(one, f"{name}."))]


def test_everything_is_told_with_a_comment() -> None:
    text = page()
    sections = {part.partition("\n")[0]: part for part in text.split("### ")}
    for method in pb.DESCRIPTOR.services_by_name["Omnimatte"].methods:
        assert len(sections[method.name].split("\n\n")[2]) > 10, method.name
    for top in pb.DESCRIPTOR.message_types_by_name.values():
        for name, message in messages(top):
            for field in message.fields:
                [line] = [one for one in sections[name].splitlines() if one.startswith(f"| `{field.name}` |")]
                assert len(line.split(" | ")[-1]) > 2, f"{name}.{field.name} has no comment"
    assert all(f"| `{reason}` |" in text for reason in tree())


def test_the_committed_page_is_this_one() -> None:
    assert PLACE.read_text() == page()
