"""The ways to run a stage. Each is a module of its own, because each brings libraries of its own."""
