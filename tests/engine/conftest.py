"""A job at one vendor that tests disturb: run it, kill it, run it again, and read the vendor's bill."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_llmbatch.emulator import Emulator
from airflow_provider_llmbatch.engine import Done, Job, advance, start
from airflow_provider_llmbatch.engine.begin import resume
from airflow_provider_llmbatch.hooks.base import BatchHook
from tests.bench import MODELS, Bench
from tests.engine.crash import Counter, install

RECORDS = 20
ROW_FAULTS: list[dict[str, Any]] = [
    {"calls": "*.batches.create", "row": "missing", "index": [1, 9, 19], "once": True},
    {"calls": "*.batches.create", "row": "foreign", "index": [4, 12]},
]
"""Rows are lost the first time, so that every run has a second round."""


@dataclass
class Scene:
    """One job at one vendor, run as one task or as three."""

    bench: Bench
    emulator: Emulator
    counter: Counter
    folder: Path
    shape: str
    attempt: int = 0
    faults: list[dict[str, Any]] = field(default_factory=lambda: list(ROW_FAULTS))
    terms: dict[str, Any] = field(default_factory=dict)

    def fresh(self) -> None:
        """Forget everything: another folder, an empty vendor."""
        self.attempt += 1
        self.emulator.reset()
        self.bench.clock.ahead = 0.0
        for fault in self.faults:
            self.emulator.fault(**fault)

    @property
    def here(self) -> Path:
        return self.folder / str(self.attempt)

    def job(self) -> Job:
        """Begin the job, or go on with it, as the asking task does."""
        source = str(self.folder / "in.jsonl")
        return self.bench.job(self.here, source, prompt="Echo {{ record.text }}", terms=self.terms)

    def submit(self) -> None:
        """Do what a task does that does not wait."""
        start(self.job())

    def run(self) -> bytes:
        """Run the job to its end, as somebody who knows nothing of earlier attempts; return the output."""
        make = self.job
        if self.shape == "three" and not (self.here / "submitted").exists():
            self.submit()
            (self.here / "submitted").touch()
        if self.shape == "three":
            terms = make().terms
            make = lambda: resume(  # noqa: E731
                f"file://{self.here}/job", terms, clock=self.bench.clock, sleep=self.bench.clock.sleep
            )
        self._complete(make)
        return (self.here / "out.jsonl").read_bytes()

    def _complete(self, make: Callable[[], Any]) -> None:
        for _ in range(30):
            outcome = advance(make())
            if isinstance(outcome, Done):
                return
            self.bench.finish()
            if outcome.wake_at is not None:
                self.bench.clock.ahead += max(0.0, outcome.wake_at - self.bench.clock()) + 1
        raise AssertionError("the job does not end")

    def paid(self) -> list[tuple[int, str]]:
        """What was paid for: requests and digest of every batch, in no order."""
        return sorted((batch["requests"], batch["sha256"]) for batch in self.emulator.bill()["batches"])


@pytest.fixture(params=["anthropic", "openai"])
def vendor(request) -> str:
    return request.param


@pytest.fixture(params=["one", "three"])
def scene(request, vendor, emulator, monkeypatch, tmp_path) -> Iterator[Scene]:
    host = emulator.openai_url if vendor == "openai" else emulator.anthropic_url
    bench = Bench(vendor, MODELS[vendor], host, lambda: emulator.advance(100_000), monkeypatch)
    bench.connect(max_requests=8)
    monkeypatch.setattr(BatchHook, "clock_slack", 1e6)  # the tests' clock runs ahead of the emulator's
    monkeypatch.setattr("airflow_provider_llmbatch.hooks.download.time.sleep", lambda seconds: None)
    lines = (json.dumps({"n": number, "text": f"text {number}"}) + "\n" for number in range(RECORDS))
    (tmp_path / "in.jsonl").write_text("".join(lines))
    return Scene(bench, emulator, install(monkeypatch), tmp_path, request.param)
