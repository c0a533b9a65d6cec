"""The trigger: JSON in, one event out, and nothing in between that a later release could not read."""

import asyncio
import json
import time

import pytest

from airflow_provider_llmbatch.exceptions import UnavailableError
from airflow_provider_llmbatch.triggers.job import LLMBatchJobTrigger

PATH = "airflow_provider_llmbatch.triggers.job.LLMBatchJobTrigger"
FULL = {
    "vendor": "ledger",
    "conn_id": "ledger_default",
    "batch_ids": ["a", "b"],
    "candidates": ["c"],
    "job_uri": "s3://lake/job",
    "until": "any",
    "wake_at": 1795341600.5,
    "give_up_at": 1795435200.0,
    "poll_interval": 30.0,
    "task_instance": {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1},
    "record": {"schema": 1, "counts": {"total": 5}, "cost_usd": None},
    "cancel_on_kill": True,
}
LEAST = {"vendor": "ledger", "conn_id": None, "batch_ids": ["a"]}


def through_airflow_3(arguments):
    serde = pytest.importorskip("airflow.sdk.serde")
    return serde.deserialize(json.loads(json.dumps(serde.serialize(arguments))))


def through_the_scheduler(arguments):
    from airflow.serialization.serialized_objects import BaseSerialization

    return BaseSerialization.deserialize(json.loads(json.dumps(BaseSerialization.serialize(arguments))))


@pytest.mark.parametrize(
    "travel",
    [lambda arguments: json.loads(json.dumps(arguments)), through_airflow_3, through_the_scheduler],
    ids=["json", "sdk-serde", "serialization"],
)
@pytest.mark.parametrize("arguments", [FULL, LEAST], ids=["full", "least"])
def test_a_trigger_survives_being_stored(arguments, travel):
    trigger = LLMBatchJobTrigger(**arguments)
    path, stored = trigger.serialize()

    again = LLMBatchJobTrigger(**travel(stored))

    assert path == PATH
    assert again.serialize() == trigger.serialize()
    assert (again.waiting, again.cancel_on_kill) == (trigger.waiting, trigger.cancel_on_kill)


def test_everything_that_was_given_is_stored():
    assert LLMBatchJobTrigger(**FULL).serialize()[1] == FULL


def test_arguments_of_a_later_release_are_left_alone():
    trigger = LLMBatchJobTrigger(**LEAST, added_later={"a": 1})

    assert trigger.serialize() == LLMBatchJobTrigger(**LEAST).serialize()


def test_arguments_of_the_first_release_stay_accepted():
    """Batches outlive upgrades: these are stored in somebody's database. Never change this list, only add to it."""
    first = [
        *("vendor", "conn_id", "batch_ids", "candidates", "job_uri", "until", "wake_at", "give_up_at"),
        *("poll_interval", "task_instance", "record", "cancel_on_kill"),
    ]

    assert set(first) <= LLMBatchJobTrigger(**FULL).serialize()[1].keys()


def events(trigger):
    async def collected():
        return [event.payload async for event in trigger.run()]

    return collected()


def test_it_fires_once_with_an_event_that_can_be_stored(ledger, run):
    ledger.statuses |= {"a": "completed"}

    (payload,) = run(events(LLMBatchJobTrigger(**LEAST, job_uri="s3://lake/job", poll_interval=0.06)))

    assert payload == {"schema": 1, "job_uri": "s3://lake/job", "reason": "ended", "batches": {"a": "completed"}}
    assert through_the_scheduler(payload) == json.loads(json.dumps(payload)) == payload


def test_many_triggers_in_one_triggerer_share_their_looks(ledger, run):
    ledger.statuses |= {f"b{number}": "completed" for number in range(20)}

    async def all_of_them():
        triggers = [LLMBatchJobTrigger(**LEAST | {"batch_ids": [name]}) for name in ledger.statuses]
        return await asyncio.gather(*(events(trigger) for trigger in triggers))

    assert [payload["reason"] for (payload,) in run(all_of_them())] == ["ended"] * 20
    assert ledger.calls == ["list"]


def test_one_that_the_triggerer_stops_leaves_nothing_behind(ledger, run):
    ledger.statuses |= {"a": "in_progress"}

    async def stopped():
        task = asyncio.create_task(events(LLMBatchJobTrigger(**LEAST, poll_interval=0.06)))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(stopped())


# -- the task is killed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wanted", "cancelled"), [(True, ["a", "b"]), (False, [])])
def test_a_killed_task_cancels_its_own_batches_and_never_a_candidate(ledger, run, wanted, cancelled):
    run(LLMBatchJobTrigger(**FULL | {"cancel_on_kill": wanted}).on_kill())

    assert ledger.cancelled == cancelled


def test_a_batch_that_cannot_be_cancelled_does_not_save_the_others(ledger, run):
    ledger.failures.append(UnavailableError("no answer"))

    run(LLMBatchJobTrigger(**FULL).on_kill())

    assert ledger.cancelled == ["b"]


def test_a_deadline_that_has_passed_meanwhile_fires_at_once(ledger, run):
    trigger = LLMBatchJobTrigger(**LEAST, give_up_at=time.time() - 60)

    assert run(events(trigger))[0]["reason"] == "deadline"
    assert ledger.calls == []
