"""A vendor on the bench: where it is served, and how to make its batches end at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_llmbatch.core.requests import Question
from airflow_provider_llmbatch.engine import Done, advance
from airflow_provider_llmbatch.engine.begin import Identity, begin
from airflow_provider_llmbatch.engine.job import Job, Plan, Terms
from airflow_provider_llmbatch.hooks.base import BatchHook
from airflow_provider_llmbatch.sources import open_source
from airflow_provider_llmbatch.storage.layout import JobFolder
from airflow_provider_llmbatch.vendors import load_hook

KEY = "sk-contract-0123456789abcdef"
MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5", "toy": "toy-1"}


class Clock:
    """The wall clock, which a test may move forward; sleeping moves it too."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    def sleep(self, seconds: float) -> None:
        self.ahead += seconds


@dataclass(frozen=True)
class Bench:
    """One vendor, served on this machine.

    :ivar host: What the connection's *host* must be.
    :ivar finish: Makes every open batch end.
    """

    vendor: str
    model: str
    host: str
    finish: Callable[[], None]
    monkeypatch: pytest.MonkeyPatch
    clock: Clock = field(default_factory=Clock)

    def connect(self, conn_id: str | None = None, *, key: str = KEY, **extra: Any) -> str:
        """Set up a connection and return its id."""
        conn_id = conn_id or f"{self.vendor}_default"
        document = {"conn_type": "generic", "password": key, "host": self.host, "extra": extra}
        self.monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(document))
        return conn_id

    def hook(self, **extra: Any) -> BatchHook:
        """Return the vendor's hook on a connection with *extra*."""
        return load_hook(self.vendor, self.connect(**extra))

    def job(
        self,
        folder: Path,
        source: Any,
        *,
        out: str = "out.jsonl",
        terms: dict[str, Any] | None = None,
        key: str | None = None,
        plan: dict[str, Any] | None = None,
        warm_cache: bool = False,
        **question: Any,
    ) -> Job:
        """Begin (or go on with) a job of this vendor in *folder*."""
        conn_id = f"{self.vendor}_default"
        question = {"model": self.model} | question
        asked = Question(**question)
        made = Plan(question=asked, source=open_source(source), key=key, warm_cache=warm_cache, **(plan or {}))
        return begin(
            JobFolder(f"file://{folder}/job"),
            Identity(dag_id="dag", run_id="run", task_id="ask"),
            load_hook(self.vendor, conn_id),
            made,
            Terms(output_uri=f"{folder}/{out}", **(terms or {})),
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def complete(self, make: Callable[[], Job], steps: int = 12) -> dict[str, Any]:
        """Call the engine's step, each time as another process would, until the output is written.

        In between, open batches end, and the clock moves to where the step wants to be called again.
        """
        for _ in range(steps):
            outcome = advance(make())
            if isinstance(outcome, Done):
                return outcome.summary
            self.finish()
            if outcome.wake_at is not None:
                self.clock.ahead += max(0.0, outcome.wake_at - self.clock()) + 1
        raise AssertionError(f"not done after {steps} steps")


def served(vendor: str, emulator: Any, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return *vendor* as *emulator* serves it, with its usual connection."""
    host = emulator.openai_url if vendor == "openai" else emulator.anthropic_url
    found = Bench(vendor, MODELS[vendor], host, lambda: emulator.advance(100_000), monkeypatch)
    found.connect()
    return found
