"""The catalogue itself: complete, consistent, light, the same as its page; its layouts are those of the networks."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from services.catalogue import document, layouts
from services.catalogue.entries import ENTRIES, find
from services.catalogue.home import Seen, WeightsHome
from services.catalogue.state import digest_of, locate
from services.errors import BadOption, NotFound
from services.models import DISTRIBUTIONS, STAGE_MODELS

ROOT = Path(__file__).resolve().parents[3]
WANTED = {
    "sam2.1-tiny", "sam2.1-small", "sam2.1-base-plus", "sam2.1-large", "edgetam", "cogvideox-fun-v1.5-5b-inp",
    "casper-cogvideox", "wan2.1-fun-1.3b-inp", "casper-wan-1.3b", "wan2.1-fun-14b-inp", "casper-wan-14b",
    "depthcrafter", "depth-anything-v2-small", "video-depth-anything-small",
}  # fmt: skip


def test_every_entry_is_there_once_and_serves_a_profile() -> None:
    names = [entry.name for entry in ENTRIES]
    assert len(set(names)) == len(names) and set(names) >= WANTED
    served = {name for model in STAGE_MODELS for name in model.entries}
    assert served == set(names)
    titles = {model.title for model in STAGE_MODELS}
    assert all(entry.serves in titles for entry in ENTRIES)
    assert all(package in DISTRIBUTIONS for model in STAGE_MODELS for package in model.packages)


def test_every_licence_says_whether_a_service_may_use_it_and_why() -> None:
    for entry in ENTRIES:
        assert entry.licence.commercial in ("yes", "no", "ask") and entry.licence.why.endswith(".")
    assert find("depthcrafter").licence.commercial == "no"
    assert find("casper-cogvideox").licence.commercial == "ask"


def test_a_file_that_is_on_no_hub_is_told_by_its_tensors() -> None:
    for entry in ENTRIES:
        for file in entry.files:
            assert (file.origin is None) == (file.layout is not None)


def test_a_misspelt_name_gets_a_guess() -> None:
    with pytest.raises(BadOption, match=r"did you mean 'sam2\.1-large'"):
        find("sam2.1-larg")


def test_missing_weights_come_with_the_command_that_gets_them(tmp_path: Path) -> None:
    home = WeightsHome(tmp_path)
    with pytest.raises(NotFound, match=r"edgetam\.pt is missing\); .*`omnimatte weights pull edgetam`"):
        locate("edgetam", home)
    with pytest.raises(NotFound, match=r"Model Weights.*`omnimatte weights import FILE`"):
        locate("casper-wan-1.3b", home)
    assert list(tmp_path.iterdir()) == []


def test_located_weights_are_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNIMATTE_WEIGHTS", str(tmp_path))
    entry = find("edgetam")
    (tmp_path / "edgetam").mkdir()
    (tmp_path / "edgetam" / "edgetam.pt").write_bytes(b"of my own training")
    assert locate("edgetam") == tmp_path / "edgetam"
    WeightsHome(tmp_path).record(entry, entry.files[0], Seen(18, "", "2026-01-01", wrong=True))
    with pytest.raises(NotFound, match=r"are damaged \(edgetam\.pt\)"):
        locate("edgetam")


def test_the_digest_follows_the_contents_and_trusts_the_record_of_a_check(tmp_path: Path) -> None:
    home, entry = WeightsHome(tmp_path), find("edgetam")
    file = home.create(entry, entry.files[0])
    file.write_bytes(b"weights")
    plain = digest_of("edgetam", home)
    home.record(entry, entry.files[0], Seen(7, hashlib.sha256(b"weights").hexdigest(), "2026-01-01"))
    assert digest_of("edgetam", home) == plain
    home.record(entry, entry.files[0], Seen(7, "0" * 64, "2026-01-01"))
    assert digest_of("edgetam", home) != plain, "a recorded digest is not computed again"


def test_the_folder_of_the_weights_follows_the_stacks_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMNIMATTE_WEIGHTS", raising=False)
    monkeypatch.setenv("OMNIMATTE_HOME", "/data/stack")
    assert WeightsHome.default().path == Path("/data/stack/weights")
    monkeypatch.setenv("OMNIMATTE_WEIGHTS", "/data/w")
    assert WeightsHome.default().path == Path("/data/w")
    monkeypatch.delenv("OMNIMATTE_WEIGHTS")
    monkeypatch.delenv("OMNIMATTE_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/data/x")
    assert WeightsHome.default().path == Path("/data/x/omnimatte/weights")


def test_the_page_is_what_the_catalogue_gives() -> None:
    assert document.PLACE.read_text("utf-8") == document.page()
    assert document.main(["--check"]) == 0


def test_a_stage_that_asks_imports_nothing_heavy() -> None:
    heavy = ["torch", "numpy", "diffusers", "transformers", "safetensors", "tqdm", "onnxruntime"]
    code = f"import sys, services.catalogue; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


# Names of the release -> names of diffusers' class, for the parts of a block and outside of the blocks.
WAN = (
    ("text_embedding.0", "condition_embedder.text_embedder.linear_1"),
    ("text_embedding.2", "condition_embedder.text_embedder.linear_2"),
    ("time_embedding.0", "condition_embedder.time_embedder.linear_1"),
    ("time_embedding.2", "condition_embedder.time_embedder.linear_2"),
    ("time_projection.1", "condition_embedder.time_proj"),
    ("img_emb.proj.0", "condition_embedder.image_embedder.norm1"),
    ("img_emb.proj.1", "condition_embedder.image_embedder.ff.net.0.proj"),
    ("img_emb.proj.3", "condition_embedder.image_embedder.ff.net.2"),
    ("img_emb.proj.4", "condition_embedder.image_embedder.norm2"),
    ("head.head", "proj_out"),
    ("head.modulation", "scale_shift_table"),
    (".modulation", ".scale_shift_table"),
    ("cross_attn.norm_k_img", "attn2.norm_added_k"),
    ("cross_attn.k_img", "attn2.add_k_proj"),
    ("cross_attn.v_img", "attn2.add_v_proj"),
    ("self_attn.", "attn1."),
    ("cross_attn.", "attn2."),
    (".ffn.0", ".ffn.net.0.proj"),
    (".ffn.2", ".ffn.net.2"),
    (".norm3", ".norm2"),
    (".o.", ".to_out.0."),
    (".q.", ".to_q."),
    (".k.", ".to_k."),
    (".v.", ".to_v."),
)


def test_layouts_are_the_networks_tensors_at_full_size() -> None:
    torch = pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    with torch.device("meta"):
        cogvideox = diffusers.CogVideoXTransformer3DModel(
            num_attention_heads=48, attention_head_dim=64, in_channels=33, out_channels=16, num_layers=42,
            patch_size=2, patch_size_t=2, text_embed_dim=4096, max_text_seq_length=226,
            use_rotary_positional_embeddings=True, sample_frames=85, sample_height=384, sample_width=680,
            patch_bias=False,
        )  # fmt: skip
        wan = diffusers.WanTransformer3DModel(
            num_attention_heads=12, attention_head_dim=128, in_channels=36, out_channels=16, num_layers=30,
            ffn_dim=8960, text_dim=4096, freq_dim=256, cross_attn_norm=True, image_dim=1280, added_kv_proj_dim=1536,
        )  # fmt: skip
    have = {name: tuple(value.shape) for name, value in cogvideox.state_dict().items()}
    assert layouts.cogvideox().mismatch(have) == ""

    renamed = {}
    for name, shape in layouts._expected(layouts.wan_small()).items():
        for old, new in WAN:
            if not name.startswith("blocks.") or old.startswith((".", "self", "cross")):
                name = name.replace(old, new)
        renamed[name] = shape
    assert renamed == {name: tuple(value.shape) for name, value in wan.state_dict().items()}
