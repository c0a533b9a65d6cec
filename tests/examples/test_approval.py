"""The recipe with a person in it: nothing is sent before somebody approves, and nothing at all if nobody does."""

from __future__ import annotations

import csv
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import pytest

try:
    from airflow.providers.standard.operators.hitl import ApprovalOperator
except Exception:
    pytest.skip("nobody can be asked before Airflow 3.1", allow_module_level=True)

EXAMPLES = Path(__file__).parents[2] / "example_dags"
PERSON = SimpleNamespace(get_id=lambda: "1", get_name=lambda: "somebody")


class Answerer(Thread):
    """Waits for the DAG's question, and answers it by Airflow's own API.

    :ivar asked: Subject and body of the question.
    :ivar calls: What the vendors had been asked by then.
    """

    def __init__(self, option: str, vendors) -> None:
        super().__init__(daemon=True)
        self.over = Event()
        self.asked: tuple[str, str] | None = None
        self.calls: list | None = None
        self._option = option
        self._vendors = vendors

    def run(self) -> None:
        while not self.over.wait(0.2) and self.asked is None:
            with suppress(LookupError):
                self._answer()

    def _answer(self) -> None:
        from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
        from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail
        from airflow.models.hitl import HITLDetail
        from airflow.utils.session import create_session
        from airflow.utils.state import TaskInstanceState
        from sqlalchemy import select

        with create_session() as session:
            details = session.scalars(select(HITLDetail)).unique().all()
            detail = next((one for one in details if not one.response_received), None)
            if detail is None:
                raise LookupError("nobody was asked yet")
            instance = detail.task_instance
            if instance.state != getattr(TaskInstanceState, "AWAITING_INPUT", instance.state):  # since 3.3
                raise LookupError("the task does not wait yet")
            self.calls = self._vendors.calls()
            self.asked = detail.subject, detail.body
            update_hitl_detail(
                dag_id=instance.dag_id,
                dag_run_id=instance.run_id,
                task_id=instance.task_id,
                update_hitl_detail_payload=UpdateHITLDetailPayload(chosen_options=[self._option], params_input={}),
                user=PERSON,
                session=session,
                map_index=instance.map_index,
            )


@pytest.fixture
def answered(run, vendors):
    """Return how to run the example with somebody who gives that answer."""

    def start(option):
        vendors.reset()
        person = Answerer(option, vendors)
        person.start()
        try:
            return run(EXAMPLES, "example_approval"), person
        finally:
            person.over.set()
            person.join()

    return start


def test_what_is_approved_is_sent_as_it_was_estimated(answered, tmp_path, vendors):
    dag_run, person = answered(ApprovalOperator.APPROVE)

    estimate, job = (dag_run.get_task_instance(name).xcom_pull(task_ids=name) for name in ("estimate", "explain"))
    subject, body = person.asked
    with (tmp_path / "modules.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert dag_run.state == "success"
    assert person.calls == []
    assert subject == "Explain Python's modules?"
    assert body.startswith(f"{len(rows)} requests with ")
    assert f"up to {estimate['estimate_usd']['at_most']} USD" in body
    assert job["job_uri"] == estimate["job_uri"]
    assert job["counts"]["succeeded"] == len(rows) == estimate["counts"]["total"] > 100


def test_what_is_rejected_is_never_sent(answered, tmp_path, vendors):
    dag_run, person = answered(ApprovalOperator.REJECT)

    assert person.asked
    assert dag_run.get_task_instance("explain").state == "skipped"
    assert vendors.calls() == []
    assert not (tmp_path / "modules.csv").exists()
