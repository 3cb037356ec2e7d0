"""The command `omnimatte weights`: lists, gets, checks and takes over published weights.

    omnimatte weights list
    omnimatte weights pull sam2.1-large
    omnimatte weights pull sam2.1-large --from /media/stick
    omnimatte weights import Downloads/casper.safetensors
    omnimatte weights verify

Must not know: how files are fetched or checked; `services.catalogue` does that.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from services.catalogue.check import Advance, now
from services.catalogue.entries import ENTRIES, find
from services.catalogue.entry import Entry, WeightFile
from services.catalogue.home import WeightsHome
from services.catalogue.http import base_url
from services.catalogue.importing import recognise, take_over
from services.catalogue.pull import pull
from services.catalogue.sources import FolderSource, HubSource, Source
from services.catalogue.state import Found, State, look
from services.catalogue.verify import verify
from services.errors import BadInput, BadOption


def run(parsed: argparse.Namespace) -> int:
    """Run `omnimatte weights`; returns the exit status. Raises what the action raises."""
    return {"list": _list, "pull": _pull, "verify": _verify, "import": _import}[parsed.action](parsed)


def weights_home(parsed: argparse.Namespace) -> WeightsHome:
    return WeightsHome(parsed.home.expanduser().absolute() / "weights") if parsed.home else WeightsHome.default()


def accept_licence(entry: Entry, home: WeightsHome, *, accepted: bool, answers: TextIO) -> None:
    """Show the licence, and record that the user accepts it; asks only once per entry and licence.

    Raises BadOption if they do not, or if nobody is there to ask and `accepted` is not given.
    """
    if home.acceptance(entry):
        return
    allowed = {"yes": "allowed", "no": "NOT allowed", "ask": "ask: on conditions, read the licence"}
    print(f"{entry.title}: {entry.licence.name}. {entry.licence.why}", file=sys.stderr)
    print(f"Commercial service: {allowed[entry.licence.commercial]}.", file=sys.stderr)
    if not accepted:
        if not answers.isatty():
            raise BadOption(
                f"nobody is here to accept the licence of {entry.title} ({entry.licence.name}); read it, then run the "
                "same command with --accept-licence."
            )
        print("Do you accept this licence? [y/N] ", end="", file=sys.stderr, flush=True)
        if answers.readline().strip().lower() not in ("y", "yes"):
            raise BadOption(f"the licence of {entry.title} was not accepted; nothing was changed.")
    home.accept(entry, who=_user(), when=now(), how="option" if accepted else "asked")


def _list(parsed: argparse.Namespace) -> int:
    home = weights_home(parsed)
    found = [look(entry, home) for entry in ENTRIES]
    if parsed.json:
        print(json.dumps([_as_json(one) for one in found], indent=2))
        return 0
    rows = [("NAME", "SERVES", "SIZE", "LICENCE", "COMMERCIAL", "HERE")]
    for one in found:
        entry = one.entry
        rows.append(
            (entry.name, entry.serves, size_text(entry), entry.licence.name, entry.licence.commercial, one.state)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"\nfolder: {home.path}")
    return 0


def size_text(entry: Entry) -> str:
    """Its published size, for people."""
    if not entry.total:
        return "?"
    return f"{entry.total / 1e9:.1f} GB" if entry.total >= 10**9 else f"{entry.total / 1e6:.0f} MB"


def _pull(parsed: argparse.Namespace) -> int:
    home = weights_home(parsed)
    entries = [find(name, among=ENTRIES) for name in dict.fromkeys(parsed.names)]
    source = _source(parsed, own=len(entries) == 1)
    for entry in entries:
        if entry.imported and not parsed.source:
            raise BadOption(f"{entry.title} is on no hub; {entry.remedy}.")
    for entry in entries:
        accept_licence(entry, home, accepted=parsed.accept_licence, answers=sys.stdin)
    for entry in entries:
        with _progress(entry.name, entry.total) as bar:
            outcomes = pull(entry, home, source, bar=bar.file, among=ENTRIES)
        for outcome in outcomes:
            said = "was here" if outcome.was_there else "checked"
            print(f"{entry.name}/{outcome.path}: {said}, sha256 {outcome.sha256}")
    return 0


def _source(parsed: argparse.Namespace, *, own: bool) -> Source:
    if not parsed.source:
        return HubSource(base_url(parsed.mirror))
    if not parsed.source.is_dir():
        raise BadInput(f"{parsed.source} is no folder; give the one that holds the files.")
    return FolderSource(parsed.source, own=own)


def _verify(parsed: argparse.Namespace) -> int:
    home = weights_home(parsed)
    entries = [find(name, among=ENTRIES) for name in parsed.names]
    if not entries:
        entries = [entry for entry in ENTRIES if look(entry, home).state != State.MISSING]
    wrong = []
    for entry in entries:
        if look(entry, home).state == State.MISSING:
            print(f"{entry.name}: missing; {entry.remedy}")
            wrong.append(entry)
            continue
        with _progress(entry.name, entry.total) as bar:
            verdicts = verify(entry, home, advance=bar.advance)
        for verdict in verdicts:
            print(f"{entry.name}/{verdict.file.path}: {verdict.said}, {verdict.detail}")
        if any(verdict.said in ("wrong", "missing") for verdict in verdicts):
            wrong.append(entry)
    if wrong:
        names = ", ".join(entry.name for entry in wrong)
        raise BadInput(f"not as they should be: {names}; {wrong[0].remedy}.")
    if not entries:
        print(f"no published weights are in {home.path}")
    return 0


def _import(parsed: argparse.Namespace) -> int:
    home = weights_home(parsed)
    found = recognise(parsed.file, among=ENTRIES)
    accept_licence(found.entry, home, accepted=parsed.accept_licence, answers=sys.stdin)
    with _progress(found.entry.name, parsed.file.stat().st_size) as bar:
        seen = take_over(parsed.file, found, home, advance=bar.advance)
    print(f"{found.entry.name}/{found.file.path}: checked, sha256 {seen.sha256}")
    return 0


def _as_json(found: Found) -> dict[str, object]:
    entry = found.entry
    return {
        "name": entry.name,
        "title": entry.title,
        "serves": entry.serves,
        "licence": vars(entry.licence),
        "bytes": entry.total,
        "how": "import" if entry.imported else "hub",
        "command": entry.command,
        "state": str(found.state),
        "lacking": list(found.lacking),
        "folder": str(found.folder),
    }


class _Bar:
    """One bar for all files of an entry; on a terminal only."""

    def __init__(self, title: str, total: int) -> None:
        from tqdm import tqdm

        self._title = title
        self._bar = tqdm(total=total or None, desc=title, unit="B", unit_scale=True, disable=not sys.stderr.isatty())

    def file(self, file: WeightFile) -> Advance:
        self._bar.set_description(f"{self._title}/{file.path}")
        return self.advance

    def advance(self, done: int) -> None:
        self._bar.update(done)

    def close(self) -> None:
        self._bar.close()


@contextmanager
def _progress(title: str, total: int) -> Iterator[_Bar]:
    bar = _Bar(title, total)
    try:
        yield bar
    finally:
        bar.close()


def _user() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"user {os.getuid()}"
    return f"{name}@{socket.gethostname()}"
