"""Which model a process uses is one setting; its files decide the digest."""

from pathlib import Path

import pytest

from services.depth.large import models
from services.errors import BadOption, NotFound
from tests.services.depth.large import tiny


def test_nothing_is_set_by_default() -> None:
    assert models.configured({}) is None


@pytest.mark.parametrize("name", ["depthcrafter", "video-depth-anything-small", "depth-anything-v2-small"])
def test_a_setting_chooses_the_model(name: str) -> None:
    chosen = models.configured({"OMNIMATTE_DEPTH": name, "OMNIMATTE_WEIGHTS": "somewhere"})
    assert chosen is not None and chosen.name == name
    assert all(Path("somewhere") in path.parents for path in chosen.files)


def test_an_unknown_model_and_a_missing_folder_are_refused() -> None:
    with pytest.raises(BadOption, match=r"'midas'.*depthcrafter"):
        models.configured({"OMNIMATTE_DEPTH": "midas", "OMNIMATTE_WEIGHTS": "somewhere"})
    with pytest.raises(BadOption, match="OMNIMATTE_WEIGHTS"):
        models.configured({"OMNIMATTE_DEPTH": "depthcrafter"})


def test_missing_weights_say_which_command_gets_them(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"omnimatte weights pull depthcrafter"):
        models.large_model("depthcrafter", tmp_path).digest()


def test_the_half_precision_file_is_taken_where_it_is_there(tmp_path: Path) -> None:
    assert models.tensors_of(tmp_path, "model").name == "model.safetensors"
    (tmp_path / "model.fp16.safetensors").touch()
    assert models.tensors_of(tmp_path, "model").name == "model.fp16.safetensors"


def test_the_digest_follows_the_weights(tmp_path: Path) -> None:
    first, again, other = (tiny.write_single(tmp_path / part, seed) for part, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert first.digest() == again.digest() != other.digest()
