"""What can be seen of a running orchestrator from outside: figures for Prometheus, traces, log lines."""
