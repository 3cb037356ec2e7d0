"""Model services with Triton's real interface and no models: they take as long, and fail as often, as a file says."""
