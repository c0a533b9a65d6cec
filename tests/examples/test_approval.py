"""The recipe with a person in it: nothing is sent before somebody approves, and nothing at all if nobody does."""

from __future__ import annotations

import csv
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import pytest

try:
    from airflow.providers.standard.operators.hitl import ApprovalOperator
    from airflow.sdk.exceptions import TaskAwaitingInput  # noqa: F401
except Exception:
    pytest.skip("before Airflow 3.3, dag.test() cannot wait for a person", allow_module_level=True)

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
            waiting = self._waiting()
            if waiting:
                self.calls = self._vendors.calls()
                self._answer(**waiting)

    def _waiting(self) -> dict | None:
        """Return which task waits for an answer, and note its question."""
        from airflow.models.hitl import HITLDetail
        from airflow.utils.session import create_session
        from airflow.utils.state import TaskInstanceState
        from sqlalchemy import select

        with create_session() as session:
            details = session.scalars(select(HITLDetail)).unique().all()
            detail = next((one for one in details if not one.response_received), None)
            task = detail.task_instance if detail else None
            if task is None or task.state != TaskInstanceState.AWAITING_INPUT:
                return None
            self.asked = detail.subject, detail.body
            return {
                "dag_id": task.dag_id,
                "dag_run_id": task.run_id,
                "task_id": task.task_id,
                "map_index": task.map_index,
            }

    def _answer(self, **task) -> None:
        from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
        from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail
        from airflow.utils.session import create_session

        payload = UpdateHITLDetailPayload(chosen_options=[self._option], params_input={})
        with create_session() as session:
            update_hitl_detail(update_hitl_detail_payload=payload, user=PERSON, session=session, **task)


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
