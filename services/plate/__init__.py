"""The plate: what the clip itself tells of the background behind its objects."""
