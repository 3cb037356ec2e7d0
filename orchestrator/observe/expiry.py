"""When certificates end, as Prometheus wants it.

The file is read each time: a renewed one shows, although the server uses it only from its next start on.
Must not know: who uses them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cryptography import x509
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Expiry(Collector):
    """Certificates by name: PEM files, the first of each counts."""

    def __init__(self, certificates: Mapping[str, Path]) -> None:
        self._certificates = dict(certificates)

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        left = GaugeMetricFamily(
            "omnimatte_certificate_expiry_seconds", "Time until a certificate ends.", labels=["name"]
        )
        for name, path in self._certificates.items():
            try:
                ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()
            except (OSError, ValueError):
                continue  # Being replaced just now.
            left.add_metric([name], ends - time.time())
        yield left
