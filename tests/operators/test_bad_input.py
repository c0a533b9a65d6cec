"""Whatever is wrong with what was asked is said once, clearly, before anything is sent."""

from __future__ import annotations

import pytest

from airflow_provider_llmbatch._compat import AirflowFailException
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from tests.operators.conftest import context

GOOD = '{"id": "a", "text": "one"}\n'


def sent(emulator) -> list[str]:
    """Every call that could have brought data to the vendor."""
    return [call["operation"] for call in emulator.calls() if call["method"] == "POST"]


@pytest.fixture
def ask(vendor, tmp_path):
    """Run the operator on a source file with the given text and parameters."""

    def run(text: str | None = GOOD, name: str = "in.jsonl", **parameters):
        path = tmp_path / name
        if text is not None:
            path.write_text(text)
        given = {
            "task_id": "label",
            "model": f"{vendor.vendor}:{vendor.model}",
            "source": str(path),
            "prompt": "Label: {{ record.text }}",
            "base_uri": f"file://{tmp_path}/jobs",
            "output_uri": f"file://{tmp_path}/out.jsonl",
            "deferrable": False,
            "poll_interval": 0.5,
            **parameters,
        }
        return LLMBatchJobOperator(**given).execute(context())

    return run


CASES = [
    pytest.param({"text": None}, r"source '.*in\.jsonl' is not there", id="missing-source"),
    pytest.param({"text": ""}, r"in\.jsonl.*holds no records", id="empty-source"),
    pytest.param({"text": "a,b\n", "name": "in.csv"}, r"in\.csv.*holds no records", id="csv-with-a-header-only"),
    pytest.param({"text": GOOD * 16 + "{oops\n" + GOOD}, r"in\.jsonl, line 17 is not JSON", id="line-17-is-not-json"),
    pytest.param(
        {"text": GOOD + "[1]\n"}, r"line 2: a record is a JSON object; this line is a list", id="not-a-record"
    ),
    pytest.param(
        {"text": GOOD + '{"id": "b"}\n'}, r"record 1 \(key '1'\) has no field 'text'; it has 'id'", id="missing-field"
    ),
    pytest.param({"prompt": "{{ record.text"}, r"prompt, line 1: .*", id="malformed-template"),
    pytest.param({"prompt": None}, r"record 0 .* has nothing to ask.*'prompt'", id="nothing-to-ask"),
    pytest.param(
        {"text": GOOD * 2, "key": "id"}, r"record 1: key 'id' = 'a' is a duplicate, record 0 has it", id="duplicate-key"
    ),
    pytest.param({"key": "nope"}, r"line 1: the key column 'nope' is missing or empty", id="missing-key"),
    pytest.param(
        {"text": '{"text": "x", "llm_output": 1}\n'}, r"line 1: column 'llm_output' is reserved", id="reserved-column"
    ),
    pytest.param({"model": "opnai:gpt"}, r"unknown vendor 'opnai'; there are anthropic, openai", id="unknown-vendor"),
    pytest.param({"model": "gpt-6-luna"}, r"model 'gpt-6-luna' must read '<vendor>:<model>'", id="no-vendor"),
    pytest.param({"model": None}, r"model '' must read", id="no-model"),
    pytest.param({"conn_id": "nowhere"}, r"connection 'nowhere' cannot be read", id="missing-connection"),
    pytest.param({"output_uri": "file:///proc/nope/out.jsonl"}, r"cannot be written", id="unwritable-output"),
    pytest.param({"output_uri": "out.xlsx"}, r"its suffix decides the format", id="unknown-format"),
    pytest.param({"name": "in.xml"}, r"its suffix must be one of", id="unknown-source-format"),
    pytest.param({"source": 7}, r"source is a int", id="source-of-a-wrong-type"),
    pytest.param({"source": []}, r"0 inline records.* holds no records", id="empty-list"),
    pytest.param({"max_rounds": 0}, r"max_rounds must be at least 1", id="no-rounds"),
    pytest.param({"cache": "system"}, r"cache='system': it must be one of None, 'tools_only'", id="unknown-cache"),
    pytest.param({"cache_ttl": "2h"}, r"cache_ttl='2h': it must be one of '5m', '1h'", id="unknown-cache-ttl"),
    pytest.param({"endpoint": "/v1/nope"}, r"endpoint '/v1/nope'", id="unknown-endpoint"),
]


@pytest.mark.parametrize(("given", "message"), CASES)
def test_one_clear_message_and_nothing_is_sent(ask, emulator, given, message):
    with pytest.raises(AirflowFailException, match=f"(?s){message}.*Nothing was sent"):
        ask(**given)

    assert sent(emulator) == []


def test_a_record_too_large_for_any_batch_is_named_with_its_size(vendor, ask, emulator):
    vendor.connect(max_bytes=10_000)

    with pytest.raises(
        AirflowFailException, match=r"record 1: its request is 2\d,\d{3} bytes; one batch takes at most"
    ):
        ask(GOOD + '{"id": "b", "text": "' + "x" * 20_000 + '"}\n')

    assert sent(emulator) == []


def test_a_wrong_key_is_told_before_anything_is_sent(vendor, ask, emulator):
    vendor.connect(key="wrong-key-0123456789")

    with pytest.raises(AirflowFailException, match=f"{vendor.vendor} answered 401") as caught:
        ask()

    assert sent(emulator) == []
    assert "wrong-key" not in str(caught.value)


def test_the_connection_names_the_model_where_the_task_does_not(vendor, ask, emulator):
    vendor.connect("labels", model=f"{vendor.vendor}:{vendor.model}")
    emulator.set_options(batch_seconds=240)

    assert ask(model=None, conn_id="labels")["model"] == vendor.model


def test_an_executor_whose_workers_share_no_disk_needs_a_base_uri(ask, emulator, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor,airflow.providers.celery.executors.CeleryExecutor")

    with pytest.raises(AirflowFailException, match=r"base_uri is not set, and with CeleryExecutor.*Nothing was sent"):
        ask(base_uri=None)

    assert sent(emulator) == []
