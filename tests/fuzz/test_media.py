"""A few damaged files; `make fuzz-media` feeds thousands."""

from tests.fuzz.media import files, run
from tests.fuzz.seeds import Seed


def test_damaged_files_are_taken_or_refused_and_nothing_else():
    figures = run(count=60, seed=0)
    print(figures.report())
    assert figures.faults == []
    assert sum(figures.outcomes.values()) == 60
    assert set(figures.outcomes) <= {"taken", "BadVideo", "BadMask"} and len(figures.outcomes) == 3


def test_the_same_seed_damages_the_same_way():
    found = [Seed("a", bytes(range(256)) * 20, ("video",)), Seed("b", b"moov" * 500, ("mask",))]
    assert list(files(found, count=20, seed=3)) == list(files(found, count=20, seed=3))
    assert list(files(found, count=20, seed=3)) != list(files(found, count=20, seed=4))
