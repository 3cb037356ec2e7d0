"""A simulation of the service on a cluster: how many GPUs for so many clips a day, at what latency and cost.

    python -m loadtests.capacity answer --per-day 5000 --assumptions

Must not know: pixels, gRPC, or a running service. It reads the chart's values and the orchestrator's pure functions.
"""
