"""From a record to an ask: who wins, and ids that come back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.records import Record
from airflow_provider_llmbatch.core.requests import Composer, Question, custom_id, index_of, job_id
from airflow_provider_llmbatch.exceptions import InputError

JOB = "0123456789"


def ask(fields, **question):
    return Composer(Question(**({"model": "m-1"} | question)))(Record(7, "sku-7", fields))


def user(text):
    return {"role": "user", "content": text}


# -- what is asked -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "question", "messages"),
    [
        pytest.param({"prompt": "hi"}, {}, [user("hi")], id="prompt-column"),
        pytest.param({"text": "hi"}, {"prompt": "Say {{ record.text }}"}, [user("Say hi")], id="template"),
        pytest.param(
            {"prompt": "raw"}, {"prompt": "Say {{ record.prompt }}"}, [user("Say raw")], id="template-over-column"
        ),
        pytest.param({"messages": [user("mine")]}, {}, [user("mine")], id="messages-column"),
        pytest.param({"messages": [user("a")], "prompt": "b"}, {}, [user("a")], id="messages-over-prompt-column"),
        pytest.param({"messages": [], "prompt": "b"}, {}, [user("b")], id="empty-messages-are-none"),
        pytest.param(
            {"messages": [user("chat")]}, {"prompt": "Sum up"}, [user("Sum up")], id="template-over-messages-column"
        ),
        pytest.param(
            {"prompt": "b"},
            {"messages": [{"role": "system", "content": "a"}]},
            [{"role": "system", "content": "a"}, user("b")],
            id="the-questions-messages-come-first",
        ),
        pytest.param({"body": {"input": "x"}}, {}, [], id="body-column-asks-by-itself"),
        pytest.param({"text": "x"}, {"body": {"input": "x"}}, [], id="body-asks-by-itself"),
        pytest.param({"prompt": [{"type": "text"}]}, {}, [user([{"type": "text"}])], id="parts"),
    ],
)
def test_what_is_asked(fields, question, messages):
    assert ask(fields, **question).messages == messages


def test_the_template_of_the_system_text_sees_the_record_too():
    assert ask({"prompt": "a", "lang": "de"}, system="Answer in {{ record.lang }}").system == "Answer in de"


@pytest.mark.parametrize(
    ("column", "value", "question", "attribute", "expected"),
    [
        pytest.param("model", "m-2", {}, "model", "m-2", id="model"),
        pytest.param("model", "", {}, "model", "m-1", id="empty-model-falls-back"),
        pytest.param("body", {"model": "m-3"}, {}, "model", "m-3", id="model-in-the-body"),
        pytest.param("system", "mine", {"system": "theirs"}, "system", "mine", id="system"),
        pytest.param("system", "", {"system": "theirs"}, "system", "theirs", id="empty-system-falls-back"),
        pytest.param(
            "request_params", {"t": 1}, {"params": {"t": 0, "n": 2}}, "params", {"t": 1, "n": 2}, id="params-are-merged"
        ),
        pytest.param("body", {"t": 1}, {"body": {"t": 0, "n": 2}}, "body", {"t": 1, "n": 2}, id="bodies-are-merged"),
        pytest.param("body", None, {"body": {"t": 0}}, "body", {"t": 0}, id="no-body"),
    ],
)
def test_what_a_record_brings_wins_over_the_question(column, value, question, attribute, expected):
    assert getattr(ask({"prompt": "a", column: value}, **question), attribute) == expected


def test_the_records_own_model_wins_over_the_one_in_its_body():
    assert ask({"prompt": "a", "model": "m-2", "body": {"model": "m-3"}}).model == "m-2"


@pytest.mark.parametrize("column", ["body", "messages"])
def test_with_a_template_a_column_named_like_a_part_of_a_request_is_data(column):
    """A table of e-mails has a body, a table of chats has messages; neither steers the request."""
    found = ask({column: "Dear all"}, prompt=f"Sum up: {{{{ record.{column} }}}}")

    assert found.messages == [user("Sum up: Dear all")]
    assert found.body == {}


def test_one_records_ask_shares_nothing_with_the_next():
    compose = Composer(Question(model="m-1", params={"stop": ["a"]}, body={"a": 1}))
    first = compose(Record(0, "0", {"prompt": "a"}))
    first.params["more"] = first.body["more"] = 1
    first.messages.clear()

    second = compose(Record(1, "1", {"prompt": "a"}))

    assert (second.params, second.body, second.messages) == ({"stop": ["a"]}, {"a": 1}, [user("a")])


# -- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"text": "x"}, "has nothing to ask.*It has 'text'", id="nothing-to-ask"),
        pytest.param({}, "has nothing to ask.*It has no columns", id="nothing-at-all"),
        pytest.param({"prompt": None}, "has nothing to ask", id="null-prompt"),
        pytest.param({"messages": "hi"}, "column 'messages' must be a list", id="messages-as-text"),
        pytest.param({"messages": 5}, "column 'messages' must be a list", id="messages-as-number"),
        pytest.param({"messages": {"role": "user"}}, "column 'messages' must be a list", id="messages-as-mapping"),
        pytest.param({"messages": [{"role": "user"}]}, "'role'.*and 'content'", id="message-without-content"),
        pytest.param({"messages": [{"role": ["user"], "content": ""}]}, "'role'", id="role-of-another-type"),
        pytest.param({"messages": [{"role": "boss", "content": "a"}]}, "'role' .*user", id="unknown-role"),
        pytest.param({"prompt": "a", "body": "text"}, "column 'body' must be a mapping", id="body-as-text"),
        pytest.param({"prompt": "a", "request_params": [1]}, "column 'request_params' must be", id="params-as-list"),
        pytest.param({"prompt": "a", "model": 5}, "names no model", id="model-of-another-type"),
    ],
)
def test_a_record_that_cannot_be_asked_is_named_before_anything_is_sent(fields, message):
    with pytest.raises(InputError, match=rf"^record 7 \(key 'sku-7'\).*{message}.*Nothing was sent") as caught:
        ask(fields)

    assert caught.value.context == {"index": 7}


def test_without_a_model_anywhere_nothing_is_asked():
    with pytest.raises(InputError, match="names no model, and neither do the task and its connection"):
        ask({"prompt": "a"}, model="")


# -- ids ---------------------------------------------------------------------------------------------------------


@given(round_=st.integers(1, 9999), index=st.integers(0, 10**15 - 1))
def test_an_id_that_comes_back_names_its_record(round_, index):
    found = custom_id(JOB, round_, index)

    assert index_of(found, job=JOB, round_=round_) == index
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", found)


@pytest.mark.parametrize(
    "stranger",
    [
        "",
        "-",
        JOB,
        f"{JOB}-1-",
        f"{JOB}-1-x",
        f"{JOB}-1--5",
        f"{JOB}-1-+5",
        f"{JOB}-1-5 ",
        f"{JOB}-1-05",
        f"{JOB}-1-٥",
        f"{JOB}-1-²",
        f"{JOB}-1-1_0",
        f"{JOB}-1-{'9' * 5000}",
        f"{JOB}-2-5",
        f"{JOB}-11-5",
        f"x{JOB}-1-5",
        "9876543210-1-5",
        "request-5",
    ],
)
def test_an_id_that_we_did_not_write_names_no_record(stranger):
    assert index_of(stranger, job=JOB, round_=1) is None


@given(st.text())
def test_no_id_from_anywhere_breaks_the_reader(text):
    found = index_of(text, job=JOB, round_=1)

    assert found is None or custom_id(JOB, 1, found) == text


ONE = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "fingerprint": "f"}


@pytest.mark.parametrize(
    "change",
    [{"dag_id": "x"}, {"run_id": "x"}, {"task_id": "x"}, {"map_index": 0}, {"fingerprint": "x"}, {"generation": 1}],
)
def test_every_part_of_a_task_instance_and_every_new_question_gives_another_job(change):
    assert job_id(**ONE) != job_id(**ONE | change)


def test_a_jobs_id_is_the_same_on_every_attempt_and_in_every_release():
    """Batches outlive an upgrade: an id that changed would not find what was sent."""
    assert job_id(**ONE) == "3c4bf01059"
