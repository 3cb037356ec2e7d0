"""Load tests: open-loop load on the real control plane, a report of where the time goes, and what it would take."""
