"""The command `omnimatte store`: says what is in the store, deletes what nobody needs, checks the rest.

    omnimatte store usage
    omnimatte store collect --dry-run
    omnimatte store fsck --repair

It may run beside the server. Must not know: how things are collected or checked.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from orchestrator.collect import Collector, Removed
from orchestrator.db import Database
from orchestrator.fsck import Checker
from orchestrator.hygiene import Hygiene
from orchestrator.keep import Keeper
from orchestrator.references import References
from orchestrator.settings import Home
from services.artifacts import Store
from services.errors import NotFound, OmnimatteError, Unavailable, from_exception


@dataclass(frozen=True)
class _Opened:
    store: Store
    references: References
    keeper: Keeper
    collector: Collector
    hygiene: Hygiene


def run(parsed: argparse.Namespace) -> int:
    """Run `omnimatte store`; returns the exit status. Raises OmnimatteError."""
    action = {"usage": _usage, "collect": _collect, "fsck": _fsck}[parsed.action]
    with _opened(parsed) as opened:
        try:
            return action(parsed, opened)
        except Exception as error:
            raise from_exception(error, doing=f"the store {opened.store.url}") from error


def _usage(parsed: argparse.Namespace, opened: _Opened) -> int:
    limit = opened.hygiene.limit_bytes
    print(f"{opened.store.url}: {_text(opened.references.size())}, limit {_text(limit) if limit else 'none'}")
    return 0


def _collect(parsed: argparse.Namespace, opened: _Opened) -> int:
    done = opened.collector.collect(dry_run=parsed.dry_run)
    said = "would go" if parsed.dry_run else "went"
    print(f"{done.count} things, {_text(done.size)} {said}; {_text(done.kept)} stay")
    return 0


def _fsck(parsed: argparse.Namespace, opened: _Opened) -> int:
    opened.collector.require_own()
    checker = Checker(
        store=opened.store,
        references=opened.references,
        keeper=opened.keeper,
        grace=opened.hygiene.grace_seconds,
        repair=parsed.repair,
    )
    found = left = 0
    for finding in checker.check():
        found += 1
        left += not finding.repaired
        print(f"{finding.fault.value}{' (repaired)' if finding.repaired else ''}: {finding.path}: {finding.what}")
    print(f"{checker.artifacts} artifacts checked, {found} faults found, {left} left")
    return 1 if left else 0


@contextmanager
def _opened(parsed: argparse.Namespace) -> Iterator[_Opened]:
    """The store and its database. Raises NotFound if there is none yet: looking must not make them."""
    home = Home(parsed.home.expanduser().absolute()) if parsed.home else Home.default()
    url = parsed.store or home.store
    database_url = parsed.database or os.environ.get("OMNIMATTE_DATABASE_URL", "") or home.database_url
    hygiene = Hygiene.configured()
    _require_there(url, database_url)
    try:
        store, database = Store(url), Database(database_url)
    except OmnimatteError:
        raise
    except Exception as error:
        # Never its text: it may hold the database's password.
        raise Unavailable(
            f"the store or its database cannot be opened ({type(error).__name__}); check --store and --database."
        ) from error
    try:
        references = References(database.engine)
        keeper = Keeper(store, references, limit_bytes=hygiene.limit_bytes)

        def show(removed: Removed) -> None:
            print(f"{removed.kind.value}  {removed.path}  {_text(removed.size)}")

        collector = Collector(
            store=store, database=database, references=references, keeper=keeper, hygiene=hygiene, on_removed=show
        )
        yield _Opened(store, references, keeper, collector, hygiene)
    finally:
        database.close()


def _require_there(url: str, database_url: str) -> None:
    try:
        database = sa.engine.make_url(database_url)
    except sa.exc.ArgumentError as error:
        raise NotFound("--database is no database's URL; write sqlite:///PATH or postgresql://...") from error
    if database.drivername.startswith("sqlite") and not (database.database and Path(database.database).is_file()):
        raise NotFound(f"there is no database {database.database}; give the server's --home or --database.")
    folder = Path(url.removeprefix("file://"))
    if ("://" not in url or url.startswith("file://")) and not folder.is_dir():
        raise NotFound(f"there is no store {folder}; give the server's --home or --store.")


def _text(size: int) -> str:
    """Bytes, for people."""
    for unit, scale in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} B"
