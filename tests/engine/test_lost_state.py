"""The job's folder is lost: a resume says so, and a retry finds what is paid for before it sends anything.

The emulator's bill is the judge.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass, fields
from importlib import import_module

import pytest

from airflow_provider_llmbatch._compat import AirflowException
from airflow_provider_llmbatch.core.requests import Question
from airflow_provider_llmbatch.engine import Job, advance
from airflow_provider_llmbatch.engine.begin import Identity, begin, resume
from airflow_provider_llmbatch.engine.job import Plan, Terms
from airflow_provider_llmbatch.exceptions import ManifestError, NotFoundError
from airflow_provider_llmbatch.hooks.base import BatchHook
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from airflow_provider_llmbatch.operators.reconcile import LLMBatchReconcileOperator
from airflow_provider_llmbatch.sensors.job import LLMBatchJobSensor
from airflow_provider_llmbatch.sources import open_source
from airflow_provider_llmbatch.storage.layout import JobFolder
from airflow_provider_llmbatch.vendors import load_hook
from tests.engine.conftest import Scene
from tests.engine.crash import Crash
from tests.operators.conftest import context


@dataclass
class Losing(Scene):
    """A job whose folder gets lost between two attempts."""

    is_retry: bool = False
    prompt: str = "Echo {{ record.text }}"

    def fresh(self) -> None:
        super().fresh()
        self.is_retry = False
        self.counter.arm(None)

    def lose(self) -> None:
        """Lose everything that was written down; the next attempt is a retry."""
        shutil.rmtree(self.here, ignore_errors=True)
        self.is_retry = True

    def job(self) -> Job:
        """Begin the job as the operator does: a retry knows since when an earlier attempt may have sent something."""
        clock = self.bench.clock
        return begin(
            JobFolder(f"file://{self.here}/job"),
            Identity(dag_id="dag", run_id="run", task_id="ask"),
            load_hook(self.bench.vendor, None),
            Plan(
                question=Question(model=self.bench.model, prompt=self.prompt),
                source=open_source(str(self.folder / "in.jsonl")),
            ),
            Terms(output_uri=f"{self.here}/out.jsonl"),
            lookup_since=clock() - 3600 if self.is_retry else None,
            clock=clock,
            sleep=clock.sleep,
        )

    def step(self) -> None:
        """Take the job one step on, and let its batches end."""
        advance(self.job())
        self.bench.finish()


@pytest.fixture
def losing(scene: Scene) -> Losing:
    scene.bench.connect(max_requests=8, keep_remote_files=True)  # what is deleted cannot be collected again: see below
    return Losing(**{field.name: getattr(scene, field.name) for field in fields(scene)})


@pytest.fixture
def undisturbed(losing):
    """The output and the bill of a run that nothing happens to; the vendor is empty again afterwards."""
    losing.fresh()
    output = losing.run()
    paid = losing.paid()
    assert [count for count, _ in paid].count(8) == 2  # shards of equal size: only their answers tell them apart
    losing.fresh()
    return output, paid


def nothing(losing):
    """Die before anything was sent."""
    losing.job()


def sent(losing):
    """Die with all batches under way."""
    losing.submit()


def answer_lost(losing):
    """Die with the answer to a paid call still out."""
    losing.emulator.fault("*.batches.create", reset_after=True, times=1)
    losing.submit()


def ended(losing):
    """Die when all batches have ended."""
    losing.submit()
    losing.bench.finish()


def second_round(losing):
    """Die when round 2 is paid for."""
    losing.step()
    advance(losing.job())
    assert len(losing.paid()) >= 4


def finished(losing):
    """Be cleared after success."""
    losing.run()


DEATHS = [nothing, sent, answer_lost, ended, second_round, finished]


@pytest.mark.parametrize("scene", ["one", pytest.param("three", marks=pytest.mark.slow)], indirect=True)
@pytest.mark.parametrize("death", DEATHS)
def test_a_retry_without_the_folder_finds_what_is_paid_and_writes_the_same_rows(losing, undisturbed, death):
    death(losing)
    losing.lose()

    output = losing.run()

    assert (output, losing.paid()) == undisturbed


@pytest.mark.parametrize("scene", ["one"], indirect=True)
@pytest.mark.parametrize("death", [nothing, sent, second_round])
def test_batches_of_the_same_size_that_are_not_ours_are_never_adopted(losing, undisturbed, death):
    strangers = {stranger(losing, count) for count in (8, 8, 4)}
    death(losing)
    strangers |= {stranger(losing, count) for count in (8, 4, 3)}
    losing.lose()

    output = losing.run()

    adopted = set(losing.job().refresh().batch_ids)
    ours = [
        (batch["requests"], batch["sha256"])
        for batch in losing.emulator.bill()["batches"]
        if batch["id"] not in strangers
    ]
    assert not adopted & strangers
    assert (output, sorted(ours)) == undisturbed


@pytest.mark.parametrize("vendor", ["anthropic"], indirect=True)
@pytest.mark.parametrize("scene", ["one"], indirect=True)
def test_a_batch_whose_results_cannot_be_seen_is_neither_adopted_nor_taken_for_somebody_elses(losing, undisturbed):
    losing.submit()
    losing.bench.finish()
    losing.lose()
    losing.emulator.fault("anthropic.batches.results", status=404, times=5)  # every candidate of every shard

    first = advance(losing.job())
    output = losing.run()

    assert (first.batch_ids, first.candidates) == ([], [])
    assert (output, losing.paid()) == undisturbed


@pytest.mark.parametrize("scene", ["one"], indirect=True)
def test_a_list_that_lags_is_given_time_before_anything_is_sent(losing, undisturbed):
    losing.emulator.fault("*.batches.create", list_lag=1.0)
    losing.submit()
    losing.lose()

    first = advance(losing.job())  # the list shows nothing yet
    output = losing.run()

    assert first.batch_ids == []
    assert (output, losing.paid()) == undisturbed


@pytest.mark.parametrize("scene", ["one"], indirect=True)
def test_a_question_that_was_moved_aside_before_does_not_hide_that_the_folder_is_lost(losing, undisturbed):
    losing.prompt = "Repeat {{ record.text }}"
    losing.job()
    losing.prompt = Losing.prompt
    losing.submit()
    shutil.rmtree(losing.here / "job")  # and not what lies beside it in superseded/
    losing.is_retry = True

    assert (losing.run(), losing.paid()) == undisturbed


@pytest.mark.parametrize("scene", ["one"], indirect=True)
def test_a_folder_that_is_lost_again_and_again_changes_nothing(losing, undisturbed):
    for death in (sent, nothing, second_round, answer_lost, finished):
        with suppress(AssertionError):
            death(losing)
        losing.lose()

    assert (losing.run(), losing.paid()) == undisturbed


@pytest.mark.parametrize("vendor", ["openai"], indirect=True)
@pytest.mark.parametrize("scene", ["one"], indirect=True)
def test_results_that_were_deleted_after_success_are_told_and_not_paid_for_again(losing, undisturbed, monkeypatch):
    monkeypatch.setattr(import_module("airflow_provider_llmbatch.engine.collect"), "LAG_SECONDS", -1)
    losing.bench.connect(max_requests=8)
    finished(losing)
    losing.lose()

    with pytest.raises(NotFoundError, match=r"no longer has the results of .*nothing was sent.* reset"):
        losing.run()

    assert losing.paid() == undisturbed[1]


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["one"], indirect=True)
def test_a_crash_anywhere_together_with_the_folder_is_paid_for_once(losing, undisturbed):
    losing.run()
    points = list(losing.counter.passed)

    for at, name in enumerate(points):
        losing.fresh()
        losing.counter.arm(at)
        with pytest.raises(Crash):
            losing.run()
        losing.counter.arm(None)
        losing.lose()

        output = losing.run()

        assert (output, losing.paid()) == undisturbed, f"crash at {at}, after {name}"
    print(f"\n{len(points)} crashes with the folder lost ({losing.bench.vendor}, {losing.shape}): one bill, one output")


# -- what does not retry ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", ["one"], indirect=True)
def test_a_resume_without_the_folder_names_base_uri_and_sends_nothing(losing):
    losing.fresh()
    losing.submit()
    losing.bench.finish()  # a batch that is still being checked has no requests yet
    uri, paid = f"file://{losing.here}/job", losing.paid()
    losing.lose()

    with pytest.raises(ManifestError, match=r"job\.json is not there\. Nothing was resubmitted\..*base_uri"):
        resume(uri)

    assert losing.paid() == paid
    assert not losing.here.exists()


@pytest.fixture
def asking(losing, monkeypatch):
    """The first of three tasks, as Airflow calls it."""
    monkeypatch.setattr(BatchHook, "list_lag", 1.0)  # these tasks go by the wall clock
    losing.fresh()
    losing.emulator.set_options(batch_seconds=240)  # 0.2 s of wall time
    params = {"model": f"{losing.bench.vendor}:{losing.bench.model}", "source": str(losing.folder / "in.jsonl")}
    params |= {"prompt": "Echo {{ record.text }}", "base_uri": f"file://{losing.here}", "poll_interval": 0.5}
    return LLMBatchJobOperator(task_id="ask", wait_for_completion=False, **params)


def collect(losing, submitted):
    sensor = LLMBatchJobSensor(task_id="wait", job=submitted, poke_interval=0.5, deferrable=False)
    sensor.execute(context("wait"))
    collector = LLMBatchReconcileOperator(
        task_id="collect", job=submitted, output_uri=f"{losing.folder}/out.csv", poll_interval=0.5, deferrable=False
    )
    return collector.execute(context("collect"))


@pytest.mark.parametrize("scene", ["three"], indirect=True)
def test_three_tasks_fail_clearly_and_go_on_when_the_asking_one_is_cleared(losing, asking):
    submitted = asking.execute(context("ask"))
    paid = {batch["id"] for batch in losing.emulator.bill()["batches"]}
    shutil.rmtree(losing.here)

    with pytest.raises(AirflowException, match=r"Nothing was resubmitted\..*base_uri"):
        collect(losing, submitted)
    assert {batch["id"] for batch in losing.emulator.bill()["batches"]} == paid

    losing.bench.finish()
    again = asking.execute(context("ask", try_number=2))
    summary = collect(losing, again)

    assert again["job_uri"] == submitted["job_uri"]
    assert paid < set(summary["batch_ids"])  # all of them, and a second round for the rows that were lost
    assert summary["counts"]["succeeded"] == summary["counts"]["total"] == 20
    assert {batch["id"] for batch in losing.emulator.bill()["batches"]} == set(summary["batch_ids"])


def stranger(losing, count: int) -> str:
    """Make a batch of *count* requests in somebody else's name, in the same account; return its id."""
    client = losing.bench.hook(max_requests=8).client
    ids = [f"{'0123456789'}-1-{number}" for number in range(count)]  # the form that we use ourselves
    if losing.bench.vendor == "anthropic":
        body = {"model": losing.bench.model, "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
        return client.messages.batches.create(requests=[{"custom_id": name, "params": body} for name in ids]).id
    body = {"model": losing.bench.model, "messages": [{"role": "user", "content": "x"}]}
    lines = [
        json.dumps({"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}) for name in ids
    ]
    file = client.files.create(file=("theirs.jsonl", "\n".join(lines).encode()), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h").id
