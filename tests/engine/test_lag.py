"""A list that lags 20 real seconds while the answer to the paid call is lost. The emulator's bill is the judge.

No clock is moved here: the engine sleeps as long as it says. All cases run at once, each with a vendor of its own, so
that the wait is paid once.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_llmbatch.core.manifest import Event
from airflow_provider_llmbatch.core.requests import Question
from airflow_provider_llmbatch.emulator import Emulator
from airflow_provider_llmbatch.engine import Done, Job, advance, start
from airflow_provider_llmbatch.engine.begin import Identity, begin
from airflow_provider_llmbatch.engine.job import Plan, Terms
from airflow_provider_llmbatch.hooks.base import BatchHook
from airflow_provider_llmbatch.sources import open_source
from airflow_provider_llmbatch.storage.layout import JobFolder
from airflow_provider_llmbatch.vendors import load_hook
from tests.bench import KEY, MODELS

RECORDS, SHARD = 20, 8
TIMEOUT = 10.0
"""Seconds after which our client gives a paid call up: a call whose process died may be under way that long."""
LAG = {"list_lag": 20.0}
AGAIN = {"row": "missing", "index": [1, 9, 19], "once": True}
"""Rows are lost the first time, so that every case has a second round: four batches in all."""
CASES: dict[str, list[dict[str, Any]]] = {
    "undisturbed": [],
    "two answers are lost": [{"reset_after": True, "times": 2}],  # and the two batches are of the same size
    "killed before the answer": [{"hang": 2 * TIMEOUT, "times": 1}],
    "two calls never arrive": [{"reset_before": True, "times": 2}],
}


@dataclass(frozen=True)
class Ending:
    """What came of one case."""

    output: bytes
    paid: list[tuple[int, str]]
    creates: int
    events: dict[str, Event]


def open_job(vendor: str, conn_id: str, folder: Path) -> Job:
    """Begin the job, or go on with it, as a new process would."""
    source = [{"n": number, "text": f"text {number}"} for number in range(RECORDS)]
    question = Question(model=MODELS[vendor], prompt="Echo {{ record.text }}")
    return begin(
        JobFolder(f"file://{folder}/job"),
        Identity(dag_id="dag", run_id="run", task_id="ask"),
        load_hook(vendor, conn_id),
        Plan(question=question, source=open_source(source)),
        Terms(output_uri=f"{folder}/out.jsonl"),
    )


def send(vendor: str, conn_id: str, folder: Path) -> None:
    """Do what a process does until it is killed."""
    start(open_job(vendor, conn_id, folder))


def kill_after_create(emulator: Emulator, *job: Any) -> None:
    """Send the job from a process of its own; kill that as soon as the vendor has a batch that nobody wrote down."""
    process = multiprocessing.get_context("spawn").Process(target=send, args=job)
    process.start()
    while process.is_alive() and not emulator.bill()["batches"]:
        time.sleep(0.05)
    process.kill()
    process.join()


def run(emulator: Emulator, case: str, *place: Any) -> Ending:
    """Run one case to its end, waiting as long as the engine says."""
    if case.startswith("killed"):
        kill_after_create(emulator, *place)
    for _ in range(300):
        job = open_job(*place)
        outcome = advance(job)
        if isinstance(outcome, Done):
            break
        time.sleep(0.2 if outcome.wake_at is None else max(0.0, outcome.wake_at - time.time()))
    vendor, _, folder = place
    return Ending(
        output=(folder / "out.jsonl").read_bytes(),
        paid=sorted((batch["requests"], batch["sha256"]) for batch in emulator.bill()["batches"]),
        creates=emulator.counts()[f"{vendor}.batches.create"],
        events={
            f"{event.round}-{event.shard}.{event.attempt}.{event.kind}": event
            for event in job.folder.events(job.spec.job_id)
        },
    )


@pytest.fixture(scope="module")
def endings(tmp_path_factory) -> Iterator[dict[tuple[str, str], Future[Ending]]]:
    """Every case at every vendor, all of them under way."""
    folder = tmp_path_factory.mktemp("lag")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        pool = stack.enter_context(ThreadPoolExecutor(2 * len(CASES)))
        started = {}
        for number, (case, faults) in enumerate(CASES.items()):
            for vendor in ("anthropic", "openai"):
                emulator = stack.enter_context(Emulator())
                for fault in (LAG, AGAIN, *faults):
                    emulator.fault("*.batches.create", **fault)
                conn_id = f"{vendor}_{number}"
                host = emulator.openai_url if vendor == "openai" else emulator.anthropic_url
                extra = {"max_requests": SHARD, "client_kwargs": {"timeout": TIMEOUT}}
                document = {"conn_type": "generic", "password": KEY, "host": host, "extra": extra}
                patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(document))
                started[vendor, case] = pool.submit(run, emulator, case, vendor, conn_id, folder / conn_id)
        yield started


@pytest.mark.slow
@pytest.mark.parametrize("case", list(CASES))
def test_a_lagging_list_makes_no_second_bill_and_loses_no_row(endings, vendor, case):
    undisturbed, ending = endings[vendor, "undisturbed"].result(), endings[vendor, case].result()

    assert [requests for requests, _ in ending.paid] == [3, 4, 8, 8]
    assert ending.paid == undisturbed.paid
    assert ending.output == undisturbed.output


@pytest.mark.slow
@pytest.mark.parametrize("case", ["two answers are lost", "killed before the answer"])
def test_a_batch_that_the_list_hides_is_waited_for_and_not_sent_again(endings, vendor, case):
    ending = endings[vendor, case].result()

    assert ending.creates == len(ending.paid)
    assert not [name for name in ending.events if name.endswith("void")]
    assert ("1-0.1.lost" in ending.events) is (case == "two answers are lost")
    hidden = ending.events["1-0.1.submitted"].at - ending.events["1-0.1.intent"].at
    assert hidden >= LAG["list_lag"]


@pytest.mark.slow
def test_a_call_that_never_arrived_is_made_once_more_after_the_time_that_a_list_may_lag(endings, vendor):
    ending = endings[vendor, "two calls never arrive"].result()

    assert ending.creates == len(ending.paid) + 2
    for shard in range(2):
        waited = ending.events[f"1-{shard}.2.intent"].at - ending.events[f"1-{shard}.1.lost"].at
        assert waited >= BatchHook.list_lag
        assert ending.events[f"1-{shard}.1.void"].reason == "absent"
