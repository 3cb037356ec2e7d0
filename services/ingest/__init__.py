"""The stage `ingest`: user files become frames and masks."""
