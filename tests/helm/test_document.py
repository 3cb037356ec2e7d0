"""The chart's README tells of every value, and of files that are there."""

from __future__ import annotations

import re
from typing import Any

import pytest

from helm import document
from tests.helm.chart import CHART, EXAMPLES, defaults


def test_the_page_is_up_to_date() -> None:
    assert document.main(["--check"]) == 0


def test_every_value_is_described() -> None:
    told = {one.path for one in document.described((CHART / "values.yaml").read_text("utf-8"))}

    def silent(values: dict[str, Any], path: tuple[str, ...]) -> list[str]:
        """The values that neither they themselves nor what they are a part of is told of."""
        found = []
        for key, value in values.items():
            here = (*path, key)
            if here not in told:
                found += silent(value, here) if isinstance(value, dict) and value else [".".join(here)]
        return found

    assert silent(defaults()["modelDefaults"], ("modelDefaults",)) == []
    assert silent(defaults(), ()) == []


def test_a_page_that_is_behind_is_found(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "README.md"
    monkeypatch.setattr(document, "PLACE", place)
    assert document.main(["--check"]) == 1
    assert document.main([]) == 0
    assert document.main(["--check"]) == 0
    place.write_text(place.read_text("utf-8").replace("omnimatte", "other", 1), "utf-8")
    assert document.main(["--check"]) == 1


def test_comments_over_several_lines_are_one_text() -> None:
    source = "# Nothing.\na:\n  # -- First\n  # second.\n  b: 1\n  # a note\n  c: 2\nd: &x\n  # -- Third.\n  e: {}\n"
    assert document.described(source) == [
        document.Described(("a", "b"), "First second."),
        document.Described(("d", "e"), "Third."),
    ]


def test_every_feature_s_file_is_there() -> None:
    page = document.page()
    linked = set(re.findall(r"\]\(([^)#]+)\)", page))
    absent = {path for path in linked if not (CHART / path).exists()}
    # Written beside this chart, and part of the same release.
    assert absent <= {"templates/monitoring"}
    assert {f"values/{name}.yaml" for name in EXAMPLES} <= linked
