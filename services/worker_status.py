"""Exit statuses of `services/worker.py`, for it and for whoever starts it."""

from __future__ import annotations

DONE = 0
FOR_GOOD = 65
"""A step can never succeed."""
OURS = 70
"""Anything that nobody has thought of."""
AGAIN = 75
"""Told to stop, or something was out of reach: the next attempt goes on."""
