"""What the service must reach, simulated: how busy a saturated cluster is, and what sharding does for one clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from loadtests.capacity.answer import gpu_load
from loadtests.capacity.clips import Arrival, peak_hours
from loadtests.capacity.fleets import fixed, gpus_of, one_group
from loadtests.capacity.setups import Choice, World
from loadtests.capacity.simulate import simulate

BUSY = 0.85
SOONER = 2.5
_OVERLAY = "one-gpu"

Make = Callable[[Choice], World]


@dataclass(frozen=True)
class Target:
    """One target: what, what came out, and what it must be at least."""

    name: str
    value: float
    least: float

    @property
    def met(self) -> bool:
        return self.value >= self.least


def saturated(world: World, *, gpus: int, seed: int = 1) -> Target:
    """GPU-busy share when twice as much arrives as the GPUs can do, in the hour after the first half."""
    per_day = 2 * 1000 * gpus / gpu_load(world, 1000)
    setup = replace(fixed(world, gpus=gpus, per_day=per_day), count_from=1800.0, count_until=5400.0)
    arrivals = peak_hours(world.mix, per_day=per_day, hours=1.5, seed=seed)
    outcome = simulate(setup, arrivals, seed)
    name = f"GPU-busy share of {gpus_of(setup)} saturated GPUs, {len(arrivals)} clips in 1.5 h"
    return Target(name, outcome.busy_share, BUSY)


def sooner(make: Make, choice: Choice, *, gpus: int = 4, objects: int = 3, seeds: range = range(1, 21)) -> Target:
    """How much sooner `gpus` GPUs with sharding finish one clip than one GPU does, in the mean over `seeds`."""
    alone = _mean(make(replace(choice, sharding=False, overlay=_OVERLAY)), gpus=1, objects=objects, seeds=seeds)
    spread = _mean(make(replace(choice, sharding=True, overlay=_OVERLAY)), gpus=gpus, objects=objects, seeds=seeds)
    name = f"times sooner: a clip of {objects} objects in {alone:.0f} s on 1 GPU, in {spread:.0f} s sharded over {gpus}"
    return Target(name, alone / spread, SOONER)


def _mean(world: World, *, gpus: int, objects: int, seeds: range) -> float:
    """Seconds that one clip takes with nobody else there. ValueError where no kind has so many objects."""
    kind = next((kind.name for kind in world.setup.kinds.values() if kind.objects == objects), None)
    if kind is None:
        raise ValueError(f"there is no kind of clip with {objects} objects, so sharding cannot be shown on one.")
    setup = one_group(world.setup, gpus=gpus)
    return sum(simulate(setup, [Arrival(0.0, kind)], seed).mean_latency() for seed in seeds) / len(seeds)
