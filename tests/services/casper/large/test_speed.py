"""The command that measures speed, tried with tiny networks."""

import json
from pathlib import Path

import pytest

from services.casper.large import speed
from services.casper.large.placement import seen_device
from services.errors import Unavailable


@pytest.mark.parametrize("family", ["cogvideox", "wan-1.3b"])
def test_the_command_measures_every_tier_and_number_of_runs(
    family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "speed.json"
    speed.main([family, "--tiny", "--tiers", "draft", "--runs", "1", "3", "--frames", "9", "--out", str(out)])
    rows = json.loads(out.read_text())
    assert [(row["tier"], row["runs"], row["frames"]) for row in rows] == [("draft", 1, 9), ("draft", 3, 9)]
    assert rows[1]["floor"] == pytest.approx(3 * rows[0]["floor"])
    for row in rows:
        assert row["total"] == pytest.approx(row["encode"] + row["denoise"] + row["decode"])
        assert row["denoise"] == pytest.approx(row["step"] * row["runs"] * 4)
    printed = capsys.readouterr().out
    assert printed.count(f"| {family} | draft |") == 2


def test_without_a_gpu_only_the_tiny_networks_are_measured() -> None:
    if seen_device().kind == "cuda":
        pytest.skip("there is a GPU")
    with pytest.raises(Unavailable, match="--tiny"):
        speed.main(["cogvideox"])
