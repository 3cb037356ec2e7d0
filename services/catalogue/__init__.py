"""The published weights: what there is, under which licence, how to get it, and where it lies on this machine.

    from services.catalogue import digest_of, locate
    folder = locate("sam2.1-large")     # raises NotFound with the command that gets it

A stage asks with `locate`, which only looks; nothing is ever fetched during inference. Everything else here serves the
commands `omnimatte weights` and `omnimatte doctor`. Must not know: torch, or what a network computes.
"""

from services.catalogue.entries import ENTRIES, find
from services.catalogue.home import WeightsHome
from services.catalogue.state import digest_of, locate

__all__ = ["ENTRIES", "WeightsHome", "digest_of", "find", "locate"]
