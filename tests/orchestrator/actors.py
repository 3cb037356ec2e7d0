"""Threads that go one call further when they are told to, and die between any two calls: races, one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Killed(BaseException):
    """The process of the actor has died here."""


class Actor:
    """Runs `work(actor)` in a thread; each call of an object that it got from `on` waits for `step`."""

    def __init__(self, work: Callable[[Actor], None]) -> None:
        self._go, self._waits = threading.Semaphore(0), threading.Semaphore(0)
        self._dies = False
        self.done = False
        self.problem: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()
        self._wait()

    def _run(self, work: Callable[[Actor], None]) -> None:
        try:
            work(self)
        except Killed:
            pass
        except Exception as error:
            self.problem = error
        finally:
            self.done = True
            self._waits.release()

    def _pause(self) -> None:
        self._waits.release()
        assert self._go.acquire(timeout=60)
        if self._dies:
            raise Killed

    def _wait(self) -> None:
        assert self._waits.acquire(timeout=60)
        if self.problem is not None:
            raise self.problem

    def step(self) -> None:
        """One call further."""
        if not self.done:
            self._go.release()
            self._wait()

    def kill(self) -> None:
        """It never makes the call that it waits for."""
        if not self.done:
            self._dies = True
            self._go.release()
            self._wait()
        self._thread.join()

    def on(self, inner: Any) -> Any:
        """`inner`, each of whose methods waits for `step` first."""
        return _Stepped(inner, self._pause)


class _Stepped:
    def __init__(self, inner: Any, pause: Callable[[], None]) -> None:
        self._inner, self._pause = inner, pause

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found) or name == "prefix":
            return found

        def call(*args: Any, **named: Any) -> Any:
            self._pause()
            return found(*args, **named)

        return call
