"""Fetching from a real server on 127.0.0.1, or from a folder: resumed, checked, landed whole."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from services.catalogue.check import Advance
from services.catalogue.entry import Entry, WeightFile
from services.catalogue.home import Seen, WeightsHome
from services.catalogue.http import base_url
from services.catalogue.pull import pull
from services.catalogue.sources import FolderSource, HubSource
from services.catalogue.state import State, look
from services.catalogue.verify import verify
from services.errors import BadInput, BadOption, Conflict, NotFound, OutOfSpace, Unavailable
from tests.services.catalogue.small import (
    BODY,
    DIGEST,
    FREE,
    HUB,
    NET,
    NET_CONTENTS,
    Hub,
    accepted,
    no_pause,
    offering,
    serving,
)

NET_URL = "/somebody/net/resolve/main/net.bin"


@pytest.fixture
def home(tmp_path: Path) -> WeightsHome:
    return accepted(WeightsHome(tmp_path / "weights"), NET)


def source(hub: Hub) -> HubSource:
    return HubSource(hub.base, pause=no_pause)


def names(home: WeightsHome, entry: Entry = NET) -> list[str]:
    folder = home.folder(entry)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_all_files_arrive_checked_and_recorded(home: WeightsHome) -> None:
    done: list[int] = []

    def bar(file: WeightFile) -> Advance:
        def advance(count: int) -> None:
            # Under its name it appears only when it is whole.
            assert not (home.folder(NET) / file.path).exists()
            done.append(count)

        return advance

    with serving(offering(NET, NET_CONTENTS)) as hub:
        outcomes = pull(NET, home, source(hub), bar=bar)
    assert [outcome.path for outcome in outcomes] == ["config.json", "unet/net.bin"]
    assert outcomes[1].sha256 == DIGEST and not outcomes[1].was_there
    assert (home.folder(NET) / "unet/net.bin").read_bytes() == BODY
    assert names(home) == [".files.json", ".licence.json", ".lock", "config.json", "unet/net.bin"]
    assert look(NET, home).state == State.VERIFIED
    assert sum(done) == len(BODY) + len(NET_CONTENTS["config.json"])


def test_what_is_there_is_not_fetched_again(home: WeightsHome) -> None:
    with serving(offering(NET, NET_CONTENTS)) as hub:
        pull(NET, home, source(hub))
        hub.asked.clear()
        outcomes = pull(NET, home, source(hub))
    assert hub.asked == [] and all(outcome.was_there for outcome in outcomes)


def test_a_cut_connection_is_taken_up_where_it_ended(home: WeightsHome) -> None:
    with serving(offering(NET, NET_CONTENTS)) as hub:
        hub.cuts = [10**9, 1_500_000, 700_000]  # the first answer is the configuration's
        pull(NET, home, source(hub))
    ranges = [wanted for path, wanted in hub.asked if path == NET_URL]
    assert ranges == ["", "bytes=1500000-", "bytes=2200000-"]
    assert (home.folder(NET) / "unet/net.bin").read_bytes() == BODY


def test_a_later_command_goes_on_too(home: WeightsHome) -> None:
    done: list[int] = []
    partial = home.folder(NET) / "unet/net.bin.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(BODY[:1_000_000])
    with serving(offering(NET, NET_CONTENTS)) as hub:
        pull(NET, home, source(hub), bar=lambda file: done.append if file.path.endswith("bin") else lambda _: None)
    assert (NET_URL, "bytes=1000000-") in hub.asked
    assert done[0] == 1_000_000 and sum(done) == len(BODY)


def test_a_complete_partial_file_only_has_to_be_checked(home: WeightsHome) -> None:
    partial = home.folder(NET) / "unet/net.bin.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(BODY)
    with serving(offering(NET, NET_CONTENTS)) as hub:
        pull(NET, home, source(hub))
    assert [wanted for path, wanted in hub.asked if path == NET_URL] == [f"bytes={len(BODY)}-"]
    assert look(NET, home).state == State.VERIFIED


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_changed_between_two_calls_or_a_server_without_ranges_starts_anew(
    home: WeightsHome, ranges: bool
) -> None:
    partial = home.folder(NET) / "unet/net.bin.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"x" * 1_000_000)
    partial.with_name("net.bin.partial.tag").write_text('"older"')
    with serving(offering(NET, NET_CONTENTS)) as hub:
        hub.ranges = ranges
        pull(NET, home, source(hub))
    assert (home.folder(NET) / "unet/net.bin").read_bytes() == BODY


def test_a_wrong_digest_is_refused_and_not_kept(home: WeightsHome) -> None:
    wrong = NET_CONTENTS | {"unet/net.bin": BODY[:-1] + b"!"}
    with (
        serving(offering(NET, wrong)) as hub,
        pytest.raises(BadInput, match=r"net\.bin of Net: its SHA-256 is .* published is " + DIGEST),
    ):
        pull(NET, home, source(hub))
    assert names(home) == [".files.json", ".licence.json", ".lock", "config.json"]
    assert look(NET, home).state == State.INCOMPLETE


@pytest.mark.parametrize(("body", "words"), [(BODY + b"more", "at most"), (BODY[:-5], "instead of 3,072,000")])
def test_a_wrong_size_is_refused_and_not_kept(home: WeightsHome, body: bytes, words: str) -> None:
    with serving(offering(NET, NET_CONTENTS | {"unet/net.bin": body})) as hub, pytest.raises(BadInput, match=words):
        pull(NET, home, source(hub))
    assert not [name for name in names(home) if "net.bin" in name]


def test_a_digest_that_is_not_published_is_remembered(home: WeightsHome) -> None:
    with serving(offering(NET, NET_CONTENTS)) as hub:
        pull(NET, home, source(hub))
        (home.folder(NET) / "config.json").unlink()
        hub.files["/somebody/net/resolve/main/config.json"] = b'{"width": 9}'
        with pytest.raises(BadInput, match=r"config\.json of Net: its SHA-256 is .* seen on"):
            pull(NET, home, source(hub))


def test_a_mirror_that_is_down_is_one_clear_error(home: WeightsHome) -> None:
    with serving(Hub()) as hub:
        pass
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:\d+ does not deliver .*config\.json .*--mirror.*--from"):
        pull(NET, home, source(hub))


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [(404, NotFound, "has no"), (401, BadOption, "OMNIMATTE_WEIGHTS_TOKEN"), (503, Unavailable, "does not deliver")],
)
def test_a_refusal_says_what_to_do(home: WeightsHome, status: int, error: type[Exception], words: str) -> None:
    with serving(Hub(status=status)) as hub, pytest.raises(error, match=words):
        pull(NET, home, source(hub))
    assert len(hub.asked) == (5 if status == 503 else 1)


def test_a_token_is_shown_to_the_hub_but_not_to_where_it_redirects(
    home: WeightsHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMNIMATTE_WEIGHTS_TOKEN", "secret")
    with serving(offering(NET, NET_CONTENTS)) as store, serving(Hub(redirect=store.base)) as hub:
        pull(NET, home, source(hub))
    assert set(hub.tokens) == {"Bearer secret"} and set(store.tokens) == {""}


def test_a_mirror_comes_from_the_option_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNIMATTE_WEIGHTS_MIRROR", "http://inside.example/hub/")
    assert base_url() == "http://inside.example/hub"
    assert base_url("https://other.example") == "https://other.example"
    for wrong in ("file:///etc", "inside.example", "https://"):
        with pytest.raises(BadOption, match="no http or https"):
            base_url(wrong)


@pytest.mark.parametrize("folder", ["net", "somebody/net", "net-clone"])
def test_a_folder_needs_no_network(home: WeightsHome, tmp_path: Path, folder: str) -> None:
    stick = tmp_path / "stick"
    root = stick if folder == "net-clone" else stick / folder
    # Another machine's weights folder has our paths, a clone of the repository has its own.
    heavy = root / ("unet/net.bin" if folder == "net" else "net.bin")
    heavy.parent.mkdir(parents=True)
    heavy.write_bytes(BODY)
    (root / "config.json").write_bytes(NET_CONTENTS["config.json"])
    pull(NET, home, FolderSource(stick))
    assert look(NET, home).state == State.VERIFIED
    assert heavy.read_bytes() == BODY


def test_a_folder_without_the_file_says_where_to_put_it(home: WeightsHome, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"config\.json of Net is not in .*; put it there as net/config\.json"):
        pull(NET, home, FolderSource(tmp_path))


def test_the_folder_of_one_entry_does_not_serve_several(home: WeightsHome, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"somebody else's")
    with pytest.raises(NotFound, match=r"put it there as net/config\.json"):
        pull(NET, home, FolderSource(tmp_path, own=False))


def test_the_same_file_of_another_entry_is_linked(home: WeightsHome) -> None:
    twin = dataclasses.replace(NET, name="twin", files=(dataclasses.replace(NET.files[1], path="other.bin"),))
    accepted(home, twin)
    with serving(offering(NET, NET_CONTENTS)) as hub:
        pull(NET, home, source(hub))
        hub.asked.clear()
        pull(twin, home, source(hub), among=(NET, twin))
    assert hub.asked == []
    assert (home.folder(twin) / "other.bin").samefile(home.folder(NET) / "unet/net.bin")
    assert look(twin, home).state == State.VERIFIED


def test_nothing_is_fetched_before_the_licence_is_accepted(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="Apache"):
        pull(NET, WeightsHome(tmp_path / "weights"), FolderSource(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_two_commands_do_not_change_the_same_entry(home: WeightsHome, tmp_path: Path) -> None:
    with home.locked(NET), pytest.raises(Conflict, match="another command"):
        pull(NET, home, FolderSource(tmp_path))


def test_a_disk_that_is_too_small_is_told_before(home: WeightsHome, tmp_path: Path) -> None:
    huge = Entry("huge", "Huge", "depth: huge", FREE, (WeightFile("a.bin", 10**18, origin=HUB),))
    accepted(home, huge)
    with pytest.raises(OutOfSpace, match="needs 1000000000"):
        pull(huge, home, FolderSource(tmp_path))


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "a//b", ".hidden", "a\\b", "", "a/", "C:/x", "~x"]
)
def test_a_name_that_leads_out_of_the_folder_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="stays inside"):
        WeightFile(path, 1, origin=HUB)
    if path:
        with pytest.raises(ValueError, match="stays inside"):
            WeightFile("fine", 1, origin=HUB, remote=path)


def test_a_link_that_leads_out_of_the_folder_is_refused(home: WeightsHome, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (home.folder(NET) / "unet").symlink_to(outside)
    with serving(offering(NET, NET_CONTENTS)) as hub, pytest.raises(BadInput, match="leads out"):
        pull(NET, home, source(hub))
    assert list(outside.iterdir()) == []


def test_verify_finds_what_changed_and_takes_over_what_was_put_there(home: WeightsHome) -> None:
    folder = home.folder(NET)
    (folder / "unet").mkdir(parents=True)
    (folder / "config.json").write_bytes(b"{}")
    (folder / "unet/net.bin").write_bytes(BODY)
    assert look(NET, home).state == State.PRESENT
    assert [verdict.said for verdict in verify(NET, home)] == ["first seen", "right"]
    assert look(NET, home).state == State.VERIFIED
    (folder / "config.json").write_bytes(b"[]")
    (folder / "unet/net.bin").write_bytes(BODY[:-1] + b"?")
    assert [verdict.said for verdict in verify(NET, home)] == ["wrong", "wrong"]
    assert look(NET, home).lacking == ("config.json", "unet/net.bin")
    with serving(offering(NET, NET_CONTENTS | {"config.json": b"{}"})) as hub:
        pull(NET, home, source(hub))
    assert look(NET, home).state == State.VERIFIED
    (folder / "config.json").write_bytes(b"[]")
    (folder / "unet/net.bin").unlink()
    assert [verdict.said for verdict in verify(NET, home)] == ["wrong", "missing"]


def test_a_broken_record_counts_as_none(home: WeightsHome) -> None:
    home.record(NET, NET.files[0], Seen(2, "0" * 64, "2025"))
    (home.folder(NET) / ".files.json").write_text('{"config.json": {"size": "x"}, "a": 3}')
    assert home.seen(NET) == {}
    (home.folder(NET) / ".files.json").write_text("[1")
    assert home.seen(NET) == {}
