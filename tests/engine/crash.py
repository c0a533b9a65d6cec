"""Kills a run after any of its storage writes and vendor calls.

The points are not listed anywhere: whatever method of the storage is not a plain read, and whatever request leaves
through the SDKs' HTTP client, is one. New code is covered without anybody remembering it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_llmbatch.storage.folder import Folder, LocalFolder

READS = {"read", "read_all", "read_ranges", "names", "exists", "local", "uri_of"}


class Crash(BaseException):
    """The process is gone: nothing may catch this."""


class Counter:
    """Counts the points that a run passes, and crashes at the one that it is told."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.at: int | None = None

    def arm(self, at: int | None) -> None:
        """Start counting anew, and crash at point *at* (from 0); ``None``: never."""
        self.passed, self.at = [], at

    def point(self, name: str) -> None:
        """Pass one point."""
        self.passed.append(name)
        if self.at is not None and len(self.passed) - 1 == self.at:
            self.at = None
            raise Crash(f"{len(self.passed) - 1}: after {name}")


def install(monkeypatch: pytest.MonkeyPatch, storage: type[Folder] = LocalFolder) -> Counter:
    """Put a counter between the engine and the world."""
    counter = Counter()
    for name in {name for cls in storage.__mro__ for name in vars(cls)}:
        method = getattr(storage, name)
        if not name.startswith("_") and callable(method) and name not in READS:
            wrap = _landing if name == "landing" else _call
            monkeypatch.setattr(storage, name, wrap(counter, name, method))
    for client in _http_clients():
        monkeypatch.setattr(client, "send", _call(counter, "http", client.send))
    return counter


def _http_clients() -> set[Any]:
    """Return the client classes that the installed SDKs send through: httpx2 since openai 3 and anthropic 1."""
    import anthropic
    import openai

    return {sdk.DefaultHttpxClient.__mro__[1] for sdk in (anthropic, openai)}


def _call(counter: Counter, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        what = f"{args[0].method} {args[0].url.path}" if name == "http" else f"{name} {args[0] if args else ''}"
        counter.point(what)
        return result

    return wrapped


def _landing(counter: Counter, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    @contextlib.contextmanager
    def wrapped(self: Any, where: str) -> Iterator[Any]:
        with method(self, where) as path:
            yield path
            counter.point(f"written, not landed: {where}")
        counter.point(f"landed: {where}")

    return wrapped


def crash_and_go_on(scene, points, undisturbed, paid, bill):
    """Let a run die at each of *points* (number and name) and the next one go on; *bill* says what was paid."""
    for at, name in points:
        scene.fresh()
        scene.counter.arm(at)
        with pytest.raises(Crash):
            scene.run()
        scene.counter.arm(None)

        output = scene.run()

        assert bill() == paid, f"crash at {at}, after {name}: another bill"
        assert output == undisturbed, f"crash at {at}, after {name}: another output"
