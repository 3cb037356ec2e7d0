"""The public API `omnimatte.v1`: its definition, the generated code, and what converts between it and plain Python."""
