"""The command that measures speed, tried with tiny networks."""

import json
from pathlib import Path

import pytest

from services.casper.large import speed
from services.casper.large.placement import Device, Placement, seen_device
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


@pytest.mark.parametrize("flags", [[], ["--offload", "model"], ["--offload", "group"], ["--fp8"], ["--no-compile"]])
def test_a_forced_mode_is_taken_with_the_runs_that_fit(flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    hopper = Device("cuda", "a large card", (9, 0), 78 * 2**30)
    monkeypatch.setattr(speed, "seen_device", lambda: hopper)
    taken: list[Placement] = []

    def caught(family: str, folder: Path, placement: Placement, *, layers: int | None) -> None:
        taken.append(placement)
        raise Unavailable("seen")

    monkeypatch.setattr(speed, "random_casper", caught)
    with pytest.raises(Unavailable, match="seen"):
        speed.main(["wan-14b", *flags])
    (placement,) = taken
    assert placement.offload == (flags[1] if "--offload" in flags else "none")
    assert placement.fp8 == ("--fp8" in flags) and placement.together == 4
    assert placement.compiled == (not flags or flags[-1] == "model")
