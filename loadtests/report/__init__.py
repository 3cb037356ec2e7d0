"""From what a run wrote down to a report: one JSON, one page, verdicts, and what changed between two."""
