"""The chart's test: `serving.py HOST:PORT [URL...]` asks the API for its health, and each URL for an answer.

WITH_TLS=1: the API has a certificate, and /ca/ca.crt is the authority's. Where the secret holds no authority (a public
one signed), it is only seen that a certificate is shown.
"""

import os
import socket
import ssl
import sys
import time
import urllib.request
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

AUTHORITY = Path("/ca/ca.crt")
PATIENCE_SECONDS = 240


def api(address: str) -> None:
    """Raises if the API does not say that it serves."""
    if os.environ.get("WITH_TLS") and not AUTHORITY.exists():
        shown(address)
        return
    if os.environ.get("WITH_TLS"):
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(AUTHORITY.read_bytes()))
    else:
        channel = grpc.insecure_channel(address)
    with channel:
        asked = health_pb2.HealthCheckRequest()
        answer = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=10, wait_for_ready=True)
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise RuntimeError(f"{address} does not serve: {answer.status}")


def shown(address: str) -> None:
    """Raises if no certificate is shown."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host, int(port)), timeout=10) as plain, context.wrap_socket(plain):
        pass


def model(url: str) -> None:
    """Raises if the model is not ready."""
    with urllib.request.urlopen(url, timeout=10):
        pass


def main(address: str, urls: list[str]) -> int:
    until = time.monotonic() + PATIENCE_SECONDS
    left = [(address, api), *((url, model) for url in urls)]
    while left:
        name, check = left[0]
        try:
            check(name)
        except Exception as error:
            if time.monotonic() > until:
                print(f"{name}: {error}", flush=True)
                return 1
            time.sleep(3)
        else:
            print(f"{name}: good", flush=True)
            left.pop(0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
