"""The solver's table: what it measures of a layer, and that every contender runs on the real stage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.omnimatte import fast
from services.omnimatte.reference.layer import Schedule
from services.omnimatte.unet import WEIGHTS
from training.evaluate import solver
from training.evaluate.solver import Case, Contender


@pytest.fixture(scope="module")
def case() -> Case:
    """A white square on grey, with half a shadow beside it; 2 frames of 32x48."""
    truth = np.zeros((2, 32, 48, 4), np.float32)
    truth[:, 8:20, 10:24] = 1
    truth[:, 20:26, 10:30, 3] = 0.5
    background = np.full((2, 32, 48, 3), 128, np.uint8)
    alpha = truth[..., 3:]
    solo = np.rint(alpha * truth[..., :3] * 255 + (1 - alpha) * background).astype(np.uint8)
    mask = np.where(truth[..., 0] == 1, 255, 0).astype(np.uint8)
    return Case("toy", solo, background, mask, truth)


def test_the_truth_scores_as_the_truth(case: Case) -> None:
    found = solver.measure(case, case.truth[..., 3], case.truth[..., :3], seconds=1, teraflop=2)
    assert (found.alpha, found.colour, found.effect, found.spilled) == (0, 0, 1, 0)
    assert found.recomposition > 48


def test_a_layer_without_its_shadow_and_with_haze_is_told_so(case: Case) -> None:
    alpha = np.where(case.mask > 0, 1, 0).astype(np.float32)
    alpha[:, :4] = 0.5
    found = solver.measure(case, alpha, case.truth[..., :3], seconds=1, teraflop=2)
    assert found.effect == 0
    assert found.spilled == pytest.approx(4 * 48 * 0.5 / (4 * 48 * 0.5 + 12 * 14))


@pytest.mark.parametrize("name", list(solver.contenders(paper=True, iterations=2, weights=WEIGHTS)))
def test_every_contender_runs(case: Case, name: str) -> None:
    contender = solver.contenders(paper=True, iterations=2, weights=WEIGHTS)[name]
    if isinstance(contender.schedule, fast.Schedule):
        few = replace(contender.schedule, base_steps=min(1, contender.schedule.base_steps), working_steps=0)
        contender = replace(contender, schedule=few)
    alpha, colour, seconds = solver.solve(case, contender)
    assert alpha.shape == case.mask.shape
    assert colour.shape == case.solo.shape
    assert seconds > 0


def test_the_references_operations_grow_with_its_iterations(case: Case) -> None:
    def count(iterations: int) -> float:
        schedule = solver.contenders(paper=True, iterations=iterations, weights=WEIGHTS)["reference"].schedule
        assert isinstance(schedule, Schedule)
        return solver.operations(case, Contender(schedule))

    assert count(20_000) == pytest.approx(2 * count(10_000), rel=1e-3)


def test_the_table_gives_the_median_beside_the_mean_of_alphas_error() -> None:
    rows = [solver.Outcome(alpha, 1, 50, 0.5, 0, 1, 1) for alpha in (0.001, 0.002, 0.009)]
    head, _, row = solver.report({"fast": rows}).splitlines()
    cells = dict(zip(*([cell.strip() for cell in line.strip("|").split("|")] for line in (head, row)), strict=True))
    assert (cells["alpha MSE"], cells["its median"]) == ("0.00400", "0.00200")
