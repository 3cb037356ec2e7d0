"""What the runbooks tell people to type can be typed: queries, statements and commands, each by what understands it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from orchestrator.arguments import parser
from orchestrator.db import Database
from tests.helm.watching import promql
from tests.helm.watching.prometheus import promtool
from tests.postgres import Postgres

PAGES = sorted(promql.RUNBOOKS.glob("omnimatte-*.md"))
SHELL = ("kubectl ", "psql ", "omnimatte ", "    ")


def blocks() -> list[str]:
    """All blocks of code, without their comments."""
    found = [
        block for path in PAGES for block in re.findall(r"^```\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)
    ]
    return [re.sub(r" {2,}#.*", "", text) for text in found]


def lines() -> list[str]:
    return [line for block in blocks() for line in block.splitlines()]


def test_promtool_understands_every_query(tmp_path: Path) -> None:
    queries = [line.replace("$NS", "studio") for line in lines() if not line.startswith(SHELL)]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    promtool("check", "rules", str(tmp_path / "queries.yaml"))
    assert len(queries) > 20


def test_every_series_that_they_ask_for_is_one_of_ours_or_well_known() -> None:
    section = (promql.ROOT / "docs" / "operations.md").read_text()
    listed = set(re.findall(r"^\| `(omnimatte_[a-z_]+)", section, re.MULTILINE))
    listed |= {f"{name}_bucket" for name in listed}
    others = {name for rule in promql.rules() for name in promql.metrics(rule["expr"])} | promql.recorded()
    asked = {name for line in lines() if not line.startswith(SHELL) for name in promql.metrics(line)}
    assert asked - listed - others == {"container_cpu_usage_seconds_total"}


def test_postgresql_understands_every_statement(postgres: Postgres) -> None:
    statements = [found for block in blocks() for found in re.findall(r'psql "\$DB" -c "([^"]+)"', block)]
    database = Database(postgres.database())
    try:
        with database.engine.connect() as connection:
            for statement in statements:
                connection.execute(sa.text(statement)).all()
    finally:
        database.close()
    assert len(statements) > 4


@pytest.mark.parametrize("line", [line for line in lines() if line.startswith("omnimatte ")])
def test_our_command_takes_its_arguments(line: str) -> None:
    parser().parse_args(shlex.split(line)[1:])
