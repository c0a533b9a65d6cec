"""What every gesture of Airflow does to a running job. The vendor's bill is the judge.

One test for each row of ``docs/explanation/what-happens-if.md``, which names them.
"""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_llmbatch._compat import AirflowException, AirflowFailException
from airflow_provider_llmbatch.triggers.job import LLMBatchJobTrigger
from tests.bench import MODELS, Bench
from tests.operators.conftest import context
from tests.operators.gestures import ALL, HALF, MINUTE, MONTH, RECORDS, Bill, Stage, act, fire, until

REPO = Path(__file__).parents[2]
GOLDEN = REPO / "tests" / "golden" / "trigger"


@pytest.fixture
def stage(vendor, emulator, tmp_path, monkeypatch) -> Stage:
    monkeypatch.setattr("airflow_provider_llmbatch.hooks.download.time.sleep", lambda seconds: None)
    vendor.connect(max_requests=10)
    emulator.set_options(speed=1, batch_seconds=2 * HALF)  # time stands nearly still: only the tests move it
    yield Stage(vendor, emulator, tmp_path)
    emulator.set_options(speed=1200)


# -- retry and clear -------------------------------------------------------------------------------------------


def test_an_automatic_retry_waits_for_the_batches_that_are_paid_for(stage):
    first = stage.defer(stage.task())

    second = stage.defer(stage.task(), try_number=2)

    assert second["batch_ids"] == first["batch_ids"]
    assert stage.finish()["counts"]["succeeded"] == RECORDS
    assert stage.bill() == (2, RECORDS, RECORDS)


def test_a_task_cleared_while_deferred_is_cancelled_and_the_next_attempt_pays_only_the_rest(stage):
    arguments = stage.defer(stage.task())
    stage.emulator.advance(HALF)
    act(arguments)
    stage.emulator.advance(ALL)
    assert 0 < stage.bill().billed < RECORDS

    summary = stage.finish()

    assert (summary["counts"]["succeeded"], summary["rounds"]) == (RECORDS, 2)
    assert stage.bill().billed == RECORDS


def test_a_task_cleared_while_deferred_under_an_airflow_before_3_3_just_waits_on(stage):
    stage.defer(stage.task())

    assert stage.finish()["rounds"] == 1
    assert stage.cancels() == 0
    assert stage.bill() == (2, RECORDS, RECORDS)


def test_a_task_cleared_after_success_lands_the_same_bytes_without_a_single_paid_call(stage):
    stage.finish(try_number=1)
    before, posts, bill = stage.output.read_bytes(), stage.posts(), stage.bill()
    stage.output.unlink()

    stage.task().execute(context(try_number=2))

    assert stage.output.read_bytes() == before
    assert (stage.posts(), stage.bill()) == (posts, bill)


# -- marks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cancel_on_kill", [True, False])
def test_a_mark_while_deferred_stops_the_spending_if_the_task_says_so(stage, cancel_on_kill):
    arguments = stage.defer(stage.task(cancel_on_kill=cancel_on_kill))
    stage.emulator.advance(HALF)

    act(arguments)
    stage.emulator.advance(ALL)

    assert stage.cancels() == (2 if cancel_on_kill else 0)
    assert (stage.bill().billed < RECORDS) is cancel_on_kill
    assert not stage.output.exists()
    assert stage.finish()["counts"]["succeeded"] == RECORDS  # somebody clears it after all
    assert stage.bill().billed == RECORDS


# -- kill and timeout ------------------------------------------------------------------------------------------


def test_a_killed_task_asks_for_the_cancel_sends_nothing_more_and_the_next_attempt_asks_only_the_rest(stage):
    task = stage.task(deferrable=False, deadline=MINUTE)

    def kill() -> Bill:
        until(stage.is_waiting)
        stage.emulator.advance(HALF)
        task.on_kill()
        bill = stage.bill()
        stage.emulator.advance(ALL)
        return bill

    with ThreadPoolExecutor() as airflow:
        killed = airflow.submit(kill)
        # Airflow 3 lets the process run on until it loses patience: long enough to buy a second round.
        with pytest.raises(AirflowException, match="the task was killed"):
            task.execute(context())

    assert (stage.cancels(), killed.result()) == (2, (2, RECORDS, 0))
    assert stage.bill().batches == 2
    assert stage.finish()["rounds"] == 2
    assert stage.bill().billed == RECORDS


def test_an_execution_timeout_is_a_kill(stage):
    timeout, expired = airflow_timeout()
    task = stage.task(deferrable=False, deadline=MINUTE)

    def alarm() -> None:
        until(stage.is_waiting)
        stage.emulator.advance(HALF)
        os.kill(os.getpid(), signal.SIGALRM)

    with ThreadPoolExecutor() as clock:
        rung = clock.submit(alarm)
        with pytest.raises(expired), timeout(600):
            task.execute(context())
    rung.result()
    task.on_kill()  # as Airflow does
    stage.emulator.advance(ALL)

    assert stage.cancels() == 2
    assert stage.finish()["counts"]["succeeded"] == RECORDS
    assert stage.bill().billed == RECORDS


def test_an_execution_timeout_that_strikes_between_two_steps_of_the_event_loop_ends_the_wait_too(stage):
    timeout, expired = airflow_timeout()

    class Striking(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self):
            loop = super().new_event_loop()
            loop.call_later(0.5, signal.raise_signal, signal.SIGALRM)
            return loop

    asyncio.set_event_loop_policy(Striking())
    try:
        with pytest.raises(expired), timeout(600):
            stage.task(deferrable=False, deadline=10).execute(context())
    finally:
        asyncio.set_event_loop_policy(None)


def airflow_timeout() -> tuple[Any, type[BaseException]]:
    """Return Airflow's own context manager for ``execution_timeout``, and what it raises."""
    try:
        module = import_module("airflow.sdk.execution_time.timeout")
    except ImportError:
        module = import_module("airflow.utils.timeout")
    try:
        return module.timeout, import_module("airflow.sdk.exceptions").AirflowTaskTimeout
    except (ImportError, AttributeError):
        return module.timeout, import_module("airflow.exceptions").AirflowTaskTimeout


def test_a_deferral_that_airflow_times_out_leaves_the_batches_alone(stage):
    stage.defer(stage.task())

    with pytest.raises(AirflowException, match="timeout"):
        stage.task().resume_execution("__fail__", {"error": "Trigger timeout"}, context())

    assert stage.cancels() == 0
    assert stage.finish()["counts"]["succeeded"] == RECORDS
    assert stage.bill() == (2, RECORDS, RECORDS)


# -- what changes under a deferred task --------------------------------------------------------------------------


def test_a_dag_edited_while_deferred_lands_the_answers_to_the_old_question(stage):
    arguments = stage.defer(stage.task())
    stage.emulator.advance(ALL)

    summary = stage.task(prompt="Shout {{ record.text }}", base_uri="file:///nowhere").resume(
        context(), fire(arguments)
    )

    assert summary["counts"]["succeeded"] == RECORDS
    assert stage.bill() == (2, RECORDS, RECORDS)


def test_a_triggerer_that_restarts_waits_on_and_cancels_nothing(stage):
    arguments = stage.defer(stage.task())

    async def shut_down() -> None:
        events = LLMBatchJobTrigger(**arguments).run()
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.5)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(shut_down())
    stage.emulator.advance(ALL)
    event = fire(arguments)

    assert (event["reason"], stage.cancels()) == ("ended", 0)
    assert stage.task().resume(context(), event)["counts"]["succeeded"] == RECORDS
    assert stage.bill() == (2, RECORDS, RECORDS)


@pytest.mark.parametrize("release", sorted(path.name for path in GOLDEN.iterdir()))
@pytest.mark.parametrize("further", [{}, {"of_a_later_release": 1}])
def test_an_upgrade_in_mid_flight_takes_what_the_earlier_release_stored(stage, release, further):
    stored = json.loads((GOLDEN / release / "arguments.json").read_bytes())
    told = json.loads((GOLDEN / release / "event.json").read_bytes())
    live = stage.defer(stage.task())
    own = {name: live[name] for name in ("vendor", "conn_id", "batch_ids", "job_uri", "give_up_at")}
    stage.emulator.advance(ALL)

    event = fire(stored["arguments"] | own | further)
    summary = stage.task().resume(context(), told | {"job_uri": live["job_uri"]} | further)

    assert stored["path"] == LLMBatchJobTrigger(**live).serialize()[0]
    assert event.keys() >= told.keys()  # a worker of the earlier release may get it
    assert summary["counts"]["succeeded"] == RECORDS
    assert stage.bill() == (2, RECORDS, RECORDS)


# -- the question or its source changed ------------------------------------------------------------------------


def test_a_changed_question_restarts_and_its_old_batches_are_cancelled(stage):
    stage.defer(stage.task())
    stage.emulator.advance(HALF)

    stage.defer(stage.task(prompt="Shout {{ record.text }}"), try_number=2)
    stage.emulator.advance(ALL)

    bill = stage.bill()
    assert stage.cancels() == 2
    assert (bill.batches, bill.requests) == (4, 2 * RECORDS)
    assert RECORDS < bill.billed < 2 * RECORDS
    assert list(stage.folder.glob("jobs/**/superseded/label/0000/job.json"))


def test_a_changed_question_with_fail_stops_and_touches_nothing(stage):
    stage.defer(stage.task())

    with pytest.raises(AirflowFailException, match="Nothing was sent, nothing was cancelled"):
        stage.task(prompt="Shout {{ record.text }}", on_change="fail").execute(context(try_number=2))

    assert stage.cancels() == 0
    assert stage.finish()["counts"]["succeeded"] == RECORDS
    assert stage.bill() == (2, RECORDS, RECORDS)


def test_a_changed_question_with_keep_goes_on_with_the_old_one(stage):
    stage.defer(stage.task())

    summary = stage.finish(source=[{"text": "something else"}], on_change="keep")

    assert summary["counts"]["succeeded"] == RECORDS
    assert stage.bill() == (2, RECORDS, RECORDS)


def test_a_change_of_vendor_cancels_the_batches_at_the_old_one(stage, monkeypatch):
    other = "openai" if stage.vendor.vendor == "anthropic" else "anthropic"
    host = stage.emulator.openai_url if other == "openai" else stage.emulator.anthropic_url
    Bench(other, MODELS[other], host, lambda: None, monkeypatch).connect(max_requests=10)
    stage.defer(stage.task())

    stage.defer(stage.task(model=f"{other}:{MODELS[other]}"), try_number=2)

    assert stage.emulator.counts().get(f"{stage.vendor.vendor}.batches.cancel") == 2
    assert f"{other}.batches.cancel" not in stage.emulator.counts()


def test_a_changed_question_cancels_a_batch_whose_answer_was_lost_too(stage):
    stage.emulator.fault("*.batches.create", reset_after=True, times=1)
    stage.emulator.fault("*.batches.list", status=503, times=3, skip=1)
    stage.defer(stage.task())
    stage.emulator.clear_faults()
    assert stage.submitted() == 1

    stage.defer(stage.task(prompt="Shout {{ record.text }}"), try_number=2)

    # Without a marker nothing but its results can tell: it is named in the log, and left alone.
    assert stage.cancels() == (2 if stage.vendor.vendor == "openai" else 1)


# -- the vendor forgets ----------------------------------------------------------------------------------------


def test_vendor_files_that_expire_after_our_copy_landed_are_not_missed(stage):
    stage.finish(try_number=1)
    before, bill = stage.output.read_bytes(), stage.bill()
    stage.emulator.advance(MONTH)
    stage.output.unlink()

    stage.finish()

    assert stage.output.read_bytes() == before
    assert stage.bill() == bill


def test_vendor_files_that_expire_before_are_told_and_replace_nothing(stage, monkeypatch):
    collect = import_module("airflow_provider_llmbatch.engine.collect")
    monkeypatch.setattr(collect, "LAG_SECONDS", -1)  # the emulator's time skips a month, the wall's does not
    stage.defer(stage.task())
    stage.emulator.advance(MONTH)
    stage.output.write_text("yesterday's rows")

    with pytest.raises(AirflowFailException, match=r"no longer has the results of .*Nothing was replaced.* reset"):
        stage.task().execute(context(try_number=2))

    assert stage.output.read_text() == "yesterday's rows"
    assert stage.bill() == (2, RECORDS, RECORDS)


def test_batches_that_the_vendor_no_longer_knows_are_told_and_not_asked_again(stage):
    stage.defer(stage.task())
    stage.emulator.reset()

    with pytest.raises(AirflowFailException, match=r"no longer has the results of .*another account"):
        stage.task(deadline=0).execute(context(try_number=2))

    assert stage.bill() == (0, 0, 0)


# -- the page --------------------------------------------------------------------------------------------------


def test_every_test_that_the_page_names_exists():
    page = (REPO / "docs" / "explanation" / "what-happens-if.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)

    def tests_of(path: str) -> set[str]:
        return {
            node.name for node in ast.walk(ast.parse((REPO / path).read_text())) if isinstance(node, ast.FunctionDef)
        }

    assert len(named) > 15
    assert [f"{path}::{name}" for path, name in named if name not in tests_of(path)] == []
