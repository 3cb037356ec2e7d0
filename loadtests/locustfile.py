"""What locust runs: one user who sends every order when it is due, whether or not earlier ones have been answered.

    locust -f loadtests/locustfile.py --headless -u 1 --orders ORDERS --target TARGET.json --records RECORDS

`python -m loadtests run` does that, and makes the files. Locust has patched the standard library for gevent before this
file is read, and gRPC is told of it here.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import gevent
import grpc.experimental.gevent as grpc_gevent
from locust import User, events, task
from locust.argument_parser import LocustArgumentParser

from loadtests.drive.clips import Clips, FakeClips, RealClips
from loadtests.drive.record import write_record
from loadtests.drive.sender import Sender, UntilFull
from loadtests.orders import Order, loaded
from orchestrator.access.credentials import Credentials
from orchestrator.client import Client

grpc_gevent.init_gevent()


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _arguments(parser: LocustArgumentParser) -> None:
    parser.add_argument("--orders", required=True, help="file of orders (loadtests/orders.py)")
    parser.add_argument("--target", required=True, help="JSON: addresses, tokens, clips, patience_seconds")
    parser.add_argument("--records", required=True, help="file that a line is written to for each order")
    parser.add_argument("--drain", type=float, default=300.0, help="seconds to wait for ends after the last order")


class Customers(User):
    """All who send: open loop means that nobody waits for anybody."""

    fixed_count = 1

    @task
    def send_all(self) -> None:
        """Every order, each in a greenlet of its own; then the run ends."""
        options = self.environment.parsed_options
        orders = loaded(Path(options.orders).read_text())
        target = json.loads(Path(options.target).read_text())
        began = time.time()
        Path(options.records).with_suffix(".began").write_text(repr(began))
        sender = Sender(
            _clients(target), _clips(target), began=began, patience=float(target.get("patience_seconds", 10.0))
        )
        under_way = []
        for order in orders:
            gevent.sleep(max(0.0, began + order.at - time.time()))
            under_way.append(gevent.spawn(self._send, sender, order, Path(options.records)))
        gevent.joinall(under_way, timeout=options.drain)
        # Who still waits is written down as lost.
        gevent.killall(under_way, block=True, timeout=10)
        self.environment.runner.quit()

    def _send(self, sender: Sender, order: Order, records: Path) -> None:
        write_record(records, sender.send(order, self._told))

    def _told(self, name: str, seconds: float, problem: Exception | None) -> None:
        self.environment.events.request.fire(
            request_type="grpc",
            name=name,
            response_time=1e3 * seconds,
            response_length=0,
            exception=problem,
            context={},
        )


def _clients(target: dict[str, Any]) -> dict[str, Client]:
    """Each tenant's; tenants share the addresses out among them."""
    addresses = target["addresses"]
    retry = UntilFull(attempts=int(target.get("attempts", 8)))
    return {
        tenant: Client(addresses[i % len(addresses)], credentials=Credentials(token=token), retry=retry)
        for i, (tenant, token) in enumerate(target["tokens"].items())
    }


def _clips(target: dict[str, Any]) -> Clips:
    return RealClips(Path(target["clips"])) if target.get("clips") else FakeClips()
