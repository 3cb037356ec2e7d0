"""The command `omnimatte keys`: what an operator does with API keys.

    omnimatte keys create --tenant studio --days 90 > key
    omnimatte keys list
    omnimatte keys revoke 5f0c21aa93b07e14

Works on the database itself, beside a running server or without one.
Must not know: how keys are kept.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime

from orchestrator.access.keys import Key, Keys
from orchestrator.opening import opened


def run(parsed: argparse.Namespace, *, database_url: str) -> int:
    """Run the action; returns the exit status."""
    engine = opened(database_url)
    try:
        keys = Keys(engine)
        if parsed.action == "create":
            made = keys.create(tenant=parsed.tenant, days=parsed.days)
            print("keep it now, it cannot be shown again:", file=sys.stderr)
            print(made)
        elif parsed.action == "revoke":
            keys.revoke(parsed.id)
        else:
            for key in keys.list(tenant=parsed.tenant):
                print(f"{key.id}  {key.tenant:20}  {_day(key.created)}  {_state(key)}")
    finally:
        engine.dispose()
    return 0


def _state(key: Key) -> str:
    if key.revoked:
        return f"revoked {_day(key.revoked)}"
    if not key.valid(time.time()):
        return f"expired {_day(key.expires)}"
    return f"until {_day(key.expires)}" if key.expires else "valid"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
