"""Who is next: pure functions over counts.

Every interactive job comes before every batch job. Among the tenants that have one waiting and may run another,
start-time fair queueing chooses: each tenant has a clock of its own that a job moves on by its cost over the tenant's
weight, and the tenant whose clock is earliest is next. The queue's clock is that of the latest choice. A tenant that
comes back after a rest begins there, so that rest cannot be saved up (Goyal, Vin and Cheng, SIGCOMM 1996).

Must not know: databases, or single jobs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.timing import Line


@dataclass(frozen=True)
class Policy:
    """What a tenant may have of the service.

    Attributes:
        weight: its share of the places, relative to the others' that wait too.
        running: most jobs that run at once; 0 for no limit.
        pending: most jobs that wait; more are refused.
    """

    weight: float = 1.0
    running: int = 0
    pending: int = 10_000


@dataclass(frozen=True)
class Policies:
    """Every tenant's policy: its own, or `default`."""

    default: Policy = Policy()
    tenants: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, tenant: str) -> Policy:
        return self.tenants.get(tenant, self.default)


@dataclass(frozen=True)
class Waiting:
    """The jobs of a tenant that wait in one line."""

    tenant: str
    line: Line
    jobs: int


@dataclass(frozen=True)
class Shares:
    """The clocks: of the queue, and of each tenant that ever had a job. Their unit is cost over weight."""

    clock: float
    served: Mapping[str, float]

    def start(self, tenant: str) -> float:
        """When the tenant's next job would begin, by the queue's clock."""
        return max(self.clock, self.served.get(tenant, 0.0))

    def after(self, tenant: str, *, cost: float, weight: float) -> Shares:
        """The clocks after a job of the tenant was chosen."""
        begun = self.start(tenant)
        return Shares(clock=begun, served={**self.served, tenant: begun + cost / weight})


def choose(
    waiting: Iterable[Waiting], running: Mapping[str, int], shares: Shares, policies: Policies
) -> Waiting | None:
    """Whose job is next, and in which line; None if nobody's may be.

    Args:
        waiting: who has jobs waiting.
        running: how many jobs of each tenant run.
        shares: the clocks.
        policies: what each tenant may have.
    """

    def may(one: Waiting) -> bool:
        limit = policies.of(one.tenant).running
        return one.jobs > 0 and (limit == 0 or running.get(one.tenant, 0) < limit)

    def key(one: Waiting) -> tuple[bool, float, str]:
        return (one.line is not Line.INTERACTIVE, shares.start(one.tenant), one.tenant)

    return min(filter(may, waiting), key=key, default=None)


@dataclass(frozen=True)
class Standing:
    """What there is to know about a job that waits.

    Attributes:
        tenant: its tenant.
        ahead: jobs of the same tenant and line that come first.
        others: waiting jobs of other tenants that may come first.
        running: jobs of the tenant that run.
        all_running: jobs of all tenants that run. places: those there are. replicas: who has them.
        handed_back: whether somebody began it before and could not go on.
    """

    tenant: str
    ahead: int
    others: int
    running: int
    all_running: int
    places: int
    replicas: int
    handed_back: bool = False


@dataclass(frozen=True)
class Reason:
    """Why a job waits: a name for programs, a sentence for people."""

    name: str
    message: str
    ahead: int


def why(standing: Standing, policy: Policy) -> Reason:
    """Why the job does not run yet."""
    again = "; it was begun before, and goes on from what is done" if standing.handed_back else ""
    if standing.replicas == 0:
        return Reason("NO_REPLICA", f"no orchestrator is there that runs jobs{again}.", standing.ahead)
    if policy.running and standing.running >= policy.running:
        text = f"{standing.running} of the {policy.running} jobs run that tenant {standing.tenant} may run at once"
        return Reason("TENANT_LIMIT", f"{text}, {standing.ahead} come before this one{again}.", standing.ahead)
    before = f"{standing.ahead} jobs of the tenant come first, and {standing.others} of others may"
    if standing.all_running >= standing.places:
        text = f"all {standing.places} places of {standing.replicas} replica(s) are taken"
        return Reason("NO_CAPACITY", f"{text}; {before}{again}.", standing.ahead)
    return Reason("QUEUE", f"its turn comes in a moment; {before}{again}.", standing.ahead)
