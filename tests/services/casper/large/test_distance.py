"""The command that measures how far a tier is from the full one, for every family that tiny weights are made of."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.casper.large import distance
from services.casper.large.tiers import FULL
from services.errors import BadVideo
from tests.services.casper import weights


@pytest.mark.parametrize("family", ["cogvideox", "wan-1.3b"])
def test_the_command_prints_a_line_for_each_tier(
    family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights.write(tmp_path, family)
    monkeypatch.setenv("OMNIMATTE_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(distance, "FULL", replace(FULL, steps=6))
    known = distance.FAMILIES[family]
    small = replace(known, standard=replace(known.standard, context="zeros" if family != "cogvideox" else ""))
    monkeypatch.setattr(distance, "FAMILIES", {family: small})
    video = np.random.default_rng(0).integers(0, 255, (5, 24, 32, 3)).astype(np.uint8)
    masks = np.zeros((5, 24, 32, 1), np.uint8)
    masks[:, 5:12, 6:20] = 255
    np.savez(tmp_path / "clip.npz", video=video, masks=masks)
    distance.main([family, str(tmp_path / "clip.npz"), "--tiers", "draft", "--size", "16", "32"])
    full, draft = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (full["tier"], full["steps"], draft["tier"]) == ("full", 6, "draft")
    assert draft["psnr"] < full["psnr"] == distance.CAP


def test_what_holds_no_clip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clip.npz").write_bytes(b"nothing")
    with pytest.raises(BadVideo, match="needs the arrays"):
        distance.read_clip(tmp_path / "clip.npz")
