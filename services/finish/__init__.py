"""The stage `finish`: layers become deliverables that match the input exactly."""
