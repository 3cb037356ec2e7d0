"""Spatial super-resolution: from Casper's base resolution to the layers' working resolution."""
