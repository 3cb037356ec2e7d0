"""The Python client of a running orchestrator: plain calls, typed messages, the errors of services/errors.py.

with Client("127.0.0.1:8000") as client:
    video = client.upload(Path("clip.mp4"))
    mask = client.upload(Path("vase.mp4"))
    job = client.create_job({"source": video, "objects": [{"label": "vase", "mask": mask}]})
    for event in client.watch(job.name):
        print(event)
    client.download(job.name, Path("out"))

async with AsyncClient("127.0.0.1:8000") as client:
    job = await client.create_job(...)

sync.py, aio.py   the two clients
calls.py          what each call sends
retry.py          when it is sent again
files.py          files on their way
"""

from orchestrator.client.aio import AsyncClient
from orchestrator.client.calls import FINAL_STATES, error_of
from orchestrator.client.files import require_empty, safe_path
from orchestrator.client.retry import ONCE, Retry
from orchestrator.client.sync import Client

__all__ = ["FINAL_STATES", "ONCE", "AsyncClient", "Client", "Retry", "error_of", "require_empty", "safe_path"]
