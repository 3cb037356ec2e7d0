"""Sends a scenario's requests with locust, in a process of its own, and writes down what became of each."""
