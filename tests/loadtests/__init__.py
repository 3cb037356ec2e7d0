"""Tests of the load tests: what they do, not how fast anything is."""
