"""``@task.llm_batch_job`` as Airflow calls it, without a database; one DAG on real Airflow is in tests/examples."""

from __future__ import annotations

import json

import pytest

from airflow_provider_llmbatch._compat import AirflowException, AirflowFailException, TaskDeferred
from airflow_provider_llmbatch.decorators.job import LLMBatchJobDecoratedOperator, llm_batch_job_task
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from tests.operators.conftest import context, vendor  # noqa: F401 - the fixture
from tests.operators.gestures import ALL, fire

MANY = {"openai": 700_001, "anthropic": 70_001}


@pytest.fixture
def make(vendor, tmp_path):  # noqa: F811
    """Return how to make a task of a function; every task stands for a new process."""

    def task(function, *args, **given):
        op_kwargs = given.pop("op_kwargs", {})
        return LLMBatchJobDecoratedOperator(
            python_callable=function,
            op_args=args,
            op_kwargs=op_kwargs,
            **{
                "task_id": "label",
                "model": f"{vendor.vendor}:{vendor.model}",
                "prompt": "Echo {{ record.text }}",
                "base_uri": f"file://{tmp_path}/jobs",
                "output_uri": f"{tmp_path}/out.jsonl",
                "poll_interval": 0.2,
                "deferrable": True,
                **given,
            },
        )

    return task


@pytest.fixture
def finish(emulator):
    """Run an attempt with all its deferrals to its end, each part as another process would."""

    def run(make_task, try_number=1):
        step = lambda: make_task().execute(context(try_number=try_number))  # noqa: E731
        while True:
            try:
                return step()
            except TaskDeferred as deferred:
                emulator.advance(ALL)
                event = fire(deferred.trigger.serialize()[1])
                step = lambda event=event: make_task().resume(context(try_number=try_number), event)  # noqa: E731

    return run


def posts(emulator):
    return sum(call["method"] == "POST" for call in emulator.calls())


def outputs(folder):
    return [json.loads(line)["llm_output"] for line in (folder / "out.jsonl").read_text().splitlines()]


def listed():
    return [{"text": "a"}, {"text": "b"}]


def yielded():
    yield {"text": "a"}
    yield {"text": "b"}


def framed():
    return pytest.importorskip("pyarrow").table({"text": ["a", "b"]})


@pytest.mark.parametrize("function", [listed, yielded, framed])
def test_what_a_function_returns_or_yields_is_answered_and_the_summary_is_returned(make, finish, tmp_path, function):
    summary = finish(lambda: make(function))

    assert summary["counts"]["succeeded"] == 2
    assert len(json.dumps(summary)) < 2000
    assert [text.split()[-1] for text in outputs(tmp_path)] == ["a", "b"]


def test_the_function_gets_its_arguments_and_what_it_asks_of_the_context(make, finish, tmp_path):
    def reviews(shop, stars, ds, *, ti, **names):
        yield {"text": f"{shop}-{stars}-{ds}-{ti.task_id}-{names['run_id']}-{'shop' in names}"}

    finish(lambda: make(reviews, "east", op_kwargs={"stars": 5}))

    assert outputs(tmp_path)[0].split()[-1] == "east-5-2026-11-22-label-manual__2026-11-22-False"


def test_an_argument_is_rendered_and_goes_before_the_context(make, finish, tmp_path):
    def reviews(day, ds):
        yield {"text": f"{day}/{ds}"}

    def task():
        made = make(reviews, "{{ ds }}", op_kwargs={"ds": "{{ run_id }}"}, output_uri="{{ params.out }}")
        made.render_template_fields({**context(), "params": {"out": f"{tmp_path}/out.jsonl"}})
        return made

    finish(task)

    assert outputs(tmp_path)[0].split()[-1] == "2026-11-22/manual__2026-11-22"


def test_once_the_requests_are_written_the_function_is_not_called_again(make, finish, emulator, tmp_path):
    calls = []

    def reviews():
        calls.append(1)
        yield {"text": f"call {len(calls)}"}

    with pytest.raises(TaskDeferred):
        make(reviews).execute(context())
    finish(lambda: make(reviews), try_number=2)
    finish(lambda: make(reviews), try_number=3)

    assert len(calls) == 1
    assert emulator.bill()["total"]["batches"] == 1
    assert "call 1" in outputs(tmp_path)[0]


def test_a_deferred_task_goes_on_without_calling_the_function(make, emulator):
    calls = []

    def reviews():
        calls.append(1)
        return ["a"]

    with pytest.raises(TaskDeferred) as deferred:
        make(reviews, prompt=None).execute(context())
    emulator.advance(ALL)
    make(reviews, prompt=None).resume(context(), fire(deferred.value.trigger.serialize()[1]))

    assert len(calls) == 1


@pytest.mark.slow
def test_a_generator_that_fails_late_sends_nothing_and_the_next_attempt_is_whole(
    make,
    finish,
    emulator,
    tmp_path,
    vendor,  # noqa: F811
):
    many, state = MANY[vendor.vendor], {"broken": True}

    def reviews():
        for index in range(many):
            if state["broken"] and index == many - 1:
                raise ConnectionError("SECRET")
            yield {"text": f"text {index}"}

    message = rf"reviews\(\) raised ConnectionError in test_job.py, line \d+, at record {many:,}\. Nothing was sent"
    with pytest.raises(AirflowException, match=message) as caught:
        make(reviews).execute(context())
    assert "SECRET" not in str(caught.value)
    assert posts(emulator) == 0

    state["broken"] = False
    summary = finish(lambda: make(reviews), try_number=2)

    assert summary["counts"]["succeeded"] == summary["counts"]["total"] == many
    assert emulator.bill()["total"]["requests"] == many
    assert outputs(tmp_path)[-1].endswith(f"text {many - 1}")


def test_airflow_may_try_again_where_the_function_failed_but_not_where_its_records_are_wrong(make, emulator):
    def flaky():
        raise TimeoutError

    with pytest.raises(AirflowException) as passing:
        make(flaky).execute(context())
    with pytest.raises(AirflowFailException, match=r"record 2 of <lambda>\(\) is a int"):
        make(lambda: iter([{"text": "a"}, 5])).execute(context())

    assert not isinstance(passing.value, AirflowFailException)
    assert posts(emulator) == 0


def test_a_job_that_is_begun_again_with_another_argument_starts_anew(make, finish, emulator):
    def reviews(shop):
        yield {"text": shop}

    finish(lambda: make(reviews, "east"))
    finish(lambda: make(reviews, "east"), try_number=2)
    assert emulator.bill()["total"]["batches"] == 1

    finish(lambda: make(reviews, "west"), try_number=3)
    assert emulator.bill()["total"]["batches"] == 2


def test_the_rendered_view_shows_arguments_and_no_records(make):
    task = make(listed)

    assert set(LLMBatchJobOperator.template_fields) - set(task.template_fields) == {"source"}
    assert task.template_fields[:2] == ("op_args", "op_kwargs")


def test_a_source_beside_the_function_is_refused(make):
    with pytest.raises(TypeError, match=r"@task\.llm_batch_job takes no source"):
        make(listed, source="rows.csv")


@pytest.mark.parametrize("annotation", [dict, "dict[str, str]"])
def test_what_the_function_is_annotated_to_return_does_not_split_the_summary(annotation):
    def reviews():
        return []

    reviews.__annotations__["return"] = annotation

    assert llm_batch_job_task(reviews).multiple_outputs is False
    assert llm_batch_job_task(prompt="{{ record.text }}")(reviews).multiple_outputs is False


def test_airflow_finds_the_decorator_under_its_name():
    try:
        from airflow.sdk import task
    except ImportError:  # Airflow 2
        from airflow.decorators import task

    @task.llm_batch_job(model="openai:gpt-6-luna")
    def reviews():
        return ["a"]

    assert reviews.operator_class is LLMBatchJobDecoratedOperator
