"""What a server tells Prometheus, read as Prometheus does."""

from __future__ import annotations

import urllib.request

from conftest import Background
from prometheus_client.parser import text_string_to_metric_families


class Figures:
    """What a server says at this moment."""

    def __init__(self, server: Background) -> None:
        with urllib.request.urlopen(server.server.metrics_url) as answer:
            self.families = list(text_string_to_metric_families(answer.read().decode()))

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels."""
        found = [
            sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert found, (name, labels)
        return sum(found)
