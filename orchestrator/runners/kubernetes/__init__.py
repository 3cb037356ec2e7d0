"""Stage runs as Kubernetes Jobs: shards of one job side by side, each in a pod of its own.

    gather.py     requests of a job that come together become one run
    manifest.py   a run as an Indexed Job (pure)
    api.py        the few calls to the API server, and its errors in our words
    board.py      which Jobs and pods there are, kept up to date by watching
    reasons.py    why a pod does not run (pure)
    runs.py       starts a run, or attaches to one that is there
    runner.py     the `Runner`: from a request to its result
    reconcile.py  removes Jobs that nobody waits for any more

What a worker does and says is services/shards.py and services/worker.py; that goes through the artifact store, not
through the API server.
"""
