"""Triton's model repository: one thin model per stage. Imports `services` and nothing else of this project."""
