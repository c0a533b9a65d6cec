"""A task whose every attempt, deferral and trigger a test can stop and start, at a vendor whose time stands still."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import pytest

from airflow_provider_llmbatch._compat import TaskDeferred
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from airflow_provider_llmbatch.triggers.job import LLMBatchJobTrigger
from tests.bench import Bench
from tests.operators.conftest import context

RECORDS = 20
HALF, ALL, MONTH = 30_000, 100_000, 31 * 86_400
MINUTE = 60
"""Seconds of real time after which a test that waits in vain is over."""


class Bill(NamedTuple):
    """What the vendors have accepted, and what of it is paid."""

    batches: int
    requests: int
    billed: int


@dataclass
class Stage:
    """A task of two batches with ten records each; every operator it gives stands for a new process."""

    vendor: Bench
    emulator: Any
    folder: Path

    @property
    def output(self) -> Path:
        return self.folder / "out.jsonl"

    def task(self, **changes: Any) -> LLMBatchJobOperator:
        given = {
            "task_id": "label",
            "model": f"{self.vendor.vendor}:{self.vendor.model}",
            "source": [{"text": f"text {number}"} for number in range(RECORDS)],
            "prompt": "Echo {{ record.text }}",
            "base_uri": f"file://{self.folder}/jobs",
            "output_uri": str(self.output),
            "poll_interval": 0.2,
            "deferrable": True,
            **changes,
        }
        return LLMBatchJobOperator(**given)

    def defer(self, task: LLMBatchJobOperator, try_number: int = 1) -> dict[str, Any]:
        """Run the worker's part of an attempt; return what Airflow stores of the trigger."""
        with pytest.raises(TaskDeferred) as deferred:
            task.execute(context(try_number=try_number))
        _, arguments = deferred.value.trigger.serialize()
        return json.loads(json.dumps(arguments))

    def finish(self, try_number: int = 2, **changes: Any) -> dict[str, Any]:
        """Run one (more) attempt, with all its deferrals, to its end."""
        step: Callable[[], dict[str, Any]] = lambda: self.task(**changes).execute(context(try_number=try_number))  # noqa: E731
        while True:
            try:
                return step()
            except TaskDeferred as deferred:
                self.emulator.advance(ALL)
                event = fire(deferred.trigger.serialize()[1])
                step = lambda event=event: self.task(**changes).resume(context(try_number=try_number), event)  # noqa: E731

    def rows(self) -> list[str]:
        return [json.loads(line)["llm_output"] for line in self.output.read_text().splitlines()]

    def bill(self) -> Bill:
        total = self.emulator.bill()["total"]
        return Bill(total["batches"], total["requests"], total["requests_billed"])

    def cancels(self) -> int:
        return sum(count for name, count in self.emulator.counts().items() if name.endswith("batches.cancel"))

    def posts(self) -> int:
        return sum(call["method"] == "POST" for call in self.emulator.calls())

    def submitted(self) -> int:
        return len(list(self.folder.glob("jobs/**/events/*.submitted.json")))

    def is_waiting(self) -> bool:
        """Whether a task that does not defer has sent everything and begun to look."""
        operations = [call["operation"].rpartition(".")[2] for call in self.emulator.calls()]
        return self.submitted() == 2 and operations[-1] in ("list", "retrieve")


def fire(arguments: dict[str, Any]) -> dict[str, Any]:
    """Rebuild a stored trigger, run it on a new event loop, and return its event."""

    async def first() -> dict[str, Any]:
        async for event in LLMBatchJobTrigger(**arguments).run():
            return event.payload
        raise AssertionError("the trigger ended without an event")

    return json.loads(json.dumps(asyncio.run(first())))


def act(arguments: dict[str, Any]) -> None:
    """Do what the triggerer of Airflow 3.3 does when somebody clears or marks a deferred task."""
    asyncio.run(LLMBatchJobTrigger(**arguments).on_kill())


def until(done: Callable[[], bool]) -> None:
    """Wait for *done*, in real time even where a test has switched ``time.sleep`` off.

    :raises TimeoutError: It has not come about within half a minute.
    """
    end, pause = time.monotonic() + MINUTE / 2, Event()
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("waited in vain")
        pause.wait(0.02)
