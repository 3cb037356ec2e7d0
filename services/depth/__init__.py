"""Depth of every frame and of every object."""
