"""Tenants as a label: a bounded number of them, however many there are.

Must not know: what is counted.
"""

from __future__ import annotations

import threading

OTHERS = "(others)"
"""Label of all tenants that have none of their own. No tenant can be called so."""

MOST = 100


class TenantLabels:
    """The first `most` tenants get a label of their own and keep it; all others share one. Thread-safe."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def of(self, tenant: str) -> str:
        """The label. A figure of somebody without a tenant has the label ""."""
        if not tenant:
            return tenant
        with self._lock:
            if tenant not in self._known and len(self._known) < self._most:
                self._known.add(tenant)
            return tenant if tenant in self._known else OTHERS
