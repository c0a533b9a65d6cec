"""One look for all that watch the same connection; nobody's leaving disturbs another."""

import asyncio
import time

import pytest

from airflow_provider_llmbatch.exceptions import BusyError, CredentialError, InputError, UnavailableError
from airflow_provider_llmbatch.triggers.poller import Watch, poller

SOON = 0.06
"""Seconds between two looks: a sixtieth of a second at first."""


async def watch_until(look_is, *batch_ids, conn_id=None, interval=SOON):
    """Watch until a look satisfies *look_is*; return every look up to it."""
    looks = []
    async with poller("ledger", conn_id) as shared, shared.watching(batch_ids, interval) as watch:
        while not looks or not look_is(looks[-1]):
            looks.append(await watch.looks.get())
    return looks


def any_look(_):
    return True


def is_answer(look):
    return isinstance(look, dict)


def test_a_thousand_jobs_on_one_connection_need_one_call(ledger, run):
    ledger.statuses |= {f"b{number:02}": "in_progress" for number in range(50)}

    async def crowd():
        return await asyncio.gather(
            *(watch_until(any_look, f"b{number % 50:02}", interval=60) for number in range(1000))
        )

    found = run(crowd())

    assert ledger.calls == ["list"]
    assert [list(look) for (look,) in found] == [[f"b{number % 50:02}"] for number in range(1000)]


def test_each_watch_sees_its_own_batches_and_no_others(ledger, run):
    ledger.statuses |= dict.fromkeys("abc", "in_progress")

    async def two():
        return await asyncio.gather(watch_until(any_look, "a", "b"), watch_until(any_look, "c", "unknown"))

    (first,), (second,) = run(two())

    assert set(first) == {"a", "b"}
    assert set(second) == {"c"}


def test_every_connection_has_a_poller_of_its_own(ledger, run):
    ledger.statuses |= {"a": "in_progress"}

    async def two():
        async with (
            poller("ledger", None) as first,
            poller("ledger", "another") as second,
            poller("ledger", None) as third,
        ):
            return first is third, first is second

    assert run(two()) == (True, False)


def test_one_that_comes_later_is_looked_after_at_once(ledger, run):
    ledger.statuses |= dict.fromkeys("ab", "in_progress")

    async def later():
        async with poller("ledger", None) as shared, shared.watching("a", 3600) as first:
            await first.looks.get()
            async with shared.watching("b", 3600) as second:
                return await second.looks.get()

    assert set(run(later())) == {"b"}


def test_looks_go_on_until_a_batch_has_ended(ledger, run):
    ledger.statuses |= {"a": "in_progress"}

    async def ends():
        task = asyncio.create_task(watch_until(lambda look: look["a"].is_terminal, "a"))
        await asyncio.sleep(0.1)
        ledger.statuses["a"] = "completed"
        return await task

    looks = run(ends())

    assert len(looks) > 1
    assert [look["a"].status for look in looks].count("completed") == 1


def test_a_batch_that_is_no_longer_watched_is_no_longer_asked_for(ledger, run):
    ledger.statuses |= dict.fromkeys("ab", "in_progress")

    async def dropped():
        async with poller("ledger", None) as shared, shared.watching("ab", SOON) as watch:
            await watch.looks.get()
            watch.batch_ids -= {"b"}
            ledger.calls.clear()
            await watch.looks.get()
            await watch.looks.get()

    run(dropped())

    assert set(ledger.calls) == {"a"}


# -- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [UnavailableError("no answer"), BusyError("later"), CredentialError("no", status=401), KeyError("odd"), OSError()],
    ids=lambda error: type(error).__name__,
)
def test_a_look_that_fails_is_told_and_the_next_one_comes(ledger, run, error):
    ledger.statuses |= {"a": "completed"}
    ledger.failures += [error, error]

    looks = run(watch_until(is_answer, "a"))

    assert looks[:-1] == [error, error]
    assert set(looks[-1]) == {"a"}


class TaskTimeout(BaseException):
    """What Airflow raises from a signal when a task's time is over: it may strike in the midst of a look."""


def test_a_timeout_that_strikes_in_the_midst_of_a_look_reaches_everybody_who_waits(ledger, run):
    ledger.failures.append(TaskTimeout())

    async def wait():
        async with poller("ledger", None) as shared, shared.watching(["a"], SOON) as watch:
            await watch.looks.get()
            return watch.broken

    assert isinstance(run(wait()), TaskTimeout)


def test_a_failed_look_is_told_to_everybody_whom_it_was_for(ledger, run):
    error = UnavailableError("no answer")
    ledger.failures.append(error)

    async def two():
        return await asyncio.gather(watch_until(any_look, "a"), watch_until(any_look, "b"))

    assert run(two()) == [[error], [error]]


def test_a_vendor_that_asks_for_time_gets_it():
    watch = Watch({"a"}, poll_interval=1)

    watch.deliver(BusyError("later", retry_after=500.0), now=1000.0)

    assert watch.due >= 1500
    assert not watch.is_about_due(1400)


def test_watches_that_are_due_within_half_an_interval_share_a_look():
    watch = Watch({"a"}, poll_interval=60)
    watch.due = 1030.0

    assert watch.is_about_due(1000.0)
    assert not watch.is_about_due(999.0)


def test_a_new_watch_is_due_at_once():
    assert Watch({"a"}, poll_interval=60).due <= time.time()


def test_a_connection_that_cannot_be_read_is_an_error_for_all_and_the_next_try_is_a_new_one(ledger, run, monkeypatch):
    ledger.statuses |= {"a": "completed"}

    async def tries():
        failed = await asyncio.gather(
            *(watch_until(any_look, "a", conn_id="third") for _ in range(3)), return_exceptions=True
        )
        monkeypatch.setenv("AIRFLOW_CONN_THIRD", '{"conn_type": "generic", "password": "k"}')
        return failed, await watch_until(is_answer, "a", conn_id="third")

    failed, ((answer),) = run(tries())

    assert [type(error) for error in failed] == [InputError] * 3
    assert set(answer) == {"a"}


# -- coming and going ----------------------------------------------------------------------------------------------


def test_the_last_one_out_closes_the_connection(ledger, run):
    async def in_turn():
        async with poller("ledger", None) as shared:
            for _ in range(3):
                async with poller("ledger", None) as same:
                    assert same is shared
                assert ledger.clients == 1
        return ledger.clients

    assert run(in_turn()) == 0


def test_one_that_leaves_by_an_error_leaves_like_any_other(ledger, run):
    async def fails():
        async with poller("ledger", None) as shared, shared.watching("a", SOON):
            raise ValueError("the job's own")

    with pytest.raises(ValueError, match="the job's own"):
        run(fails())


def test_one_that_is_cancelled_does_not_take_the_others_poller_with_it(ledger, run):
    ledger.statuses |= {"a": "in_progress"}

    async def one_of_two():
        first = asyncio.create_task(watch_until(lambda _: False, "a"))
        second = asyncio.create_task(watch_until(lambda look: look["a"].is_terminal, "a"))
        await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.wait([first])
        ledger.statuses["a"] = "completed"
        return await second

    assert run(one_of_two())[-1]["a"].status == "completed"


@pytest.mark.parametrize("turns", range(6))
def test_one_that_is_cancelled_while_the_connection_opens_leaves_nothing_behind(ledger, run, turns):
    """The other one still gets its looks, and closes when it leaves."""
    ledger.statuses |= {"a": "completed"}

    async def early():
        first = asyncio.create_task(watch_until(is_answer, "a"))
        second = asyncio.create_task(watch_until(is_answer, "a"))
        for _ in range(turns):
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        return await second

    assert set(run(early())[-1]) == {"a"}


@pytest.mark.parametrize("turns", range(6))
def test_when_all_are_cancelled_while_the_connection_opens_nothing_stays_open(run, turns):
    async def early():
        task = asyncio.create_task(watch_until(is_answer, "a"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    run(early())


def test_a_poller_of_one_event_loop_is_not_met_in_the_next(ledger, run):
    """An operator that does not defer waits in a loop of its own, one after the other."""
    ledger.statuses |= {"a": "completed"}

    for _ in range(3):
        assert set(run(watch_until(is_answer, "a"))[-1]) == {"a"}
