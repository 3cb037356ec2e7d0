"""How much one job may use.

Must not know: what the job does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Allowance:
    """Bounds on one process. The defaults are generous for the largest clip that is accepted.

    Attributes:
        memory: bytes of address space, threads and libraries included (RLIMIT_AS).
        cpu_seconds: processor time of all its threads together (RLIMIT_CPU).
        written: bytes in a file that it may write (RLIMIT_FSIZE).
        silence: seconds that it may take for one answer. Only the caller's waiting counts, so a slow disk harms nobody.
        waiting: seconds that the caller waits for it, all answers together.
        answers: how many answers it may give.
        array: bytes in one array that it answers with.
    """

    memory: int = 6 << 30
    cpu_seconds: int = 7200
    written: int = 4 << 30
    silence: float = 60.0
    waiting: float = 3600.0
    answers: int = 10_000
    array: int = 64 << 20
