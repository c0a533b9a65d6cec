"""Types, tools, pictures and PDFs: asked in the same words, answered in the same rows, whatever the endpoint."""

from __future__ import annotations

import base64
import csv
import json
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, field_validator
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from airflow_provider_llmbatch._compat import AirflowFailException
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from airflow_provider_llmbatch.operators.reconcile import LLMBatchReconcileOperator
from tests.bench import MODELS, served
from tests.operators.conftest import context

ENDPOINTS = {
    "chat completions": ("openai", None),
    "responses": ("openai", "/v1/responses"),
    "messages": ("anthropic", None),
}
TEXTS = ["It is good.", "It is bad.", "It broke after a day."]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
PAGE = base64.b64encode(b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n").decode()


class Review(BaseModel):
    """A verdict on a product."""

    label: Literal["good", "bad"]
    stars: Literal[1, 2, 3, 4, 5] = Field(description="Five are best")
    tags: list[str] = []


@dataclass
class Verdict:
    label: Literal["good", "bad"]


class Mood(TypedDict):
    mood: Literal["good", "bad"]


class Picky(BaseModel):
    label: str

    @field_validator("label")
    @classmethod
    def never(cls, value: str) -> str:
        raise ValueError("no label is good enough")


def set_priority(level: Literal["low", "high"], reason: str = "") -> None:
    """Say how urgent a review is."""


@pytest.fixture(params=ENDPOINTS)
def endpoint(request) -> str:
    return request.param


@pytest.fixture
def run(emulator, monkeypatch, tmp_path):
    """Run the operator over TEXTS at one endpoint; return its rows."""
    emulator.set_options(batch_seconds=240)  # 0.2 s of wall time

    def run(endpoint: str, **given: Any) -> list[dict[str, Any]]:
        vendor, path = ENDPOINTS[endpoint]
        served(vendor, emulator, monkeypatch)
        folder = tmp_path / endpoint.replace(" ", "_")
        output = folder.with_suffix(f".{given.pop('suffix', 'jsonl')}")
        asked = {
            "source": [{"text": text} for text in TEXTS],
            "prompt": "Review: {{ record.text }}",
            "model": f"{vendor}:{MODELS[vendor]}",
            "max_rounds": 2,
        }
        task = LLMBatchJobOperator(
            task_id="label",
            base_uri=f"file://{folder}",
            output_uri=str(output),
            endpoint=path,
            poll_interval=0.5,
            deferrable=False,
            **asked | given,
        )
        run.summary = task.execute(context())
        if output.suffix == ".csv":
            with output.open(newline="") as file:
                return list(csv.DictReader(file))
        return [json.loads(line) for line in output.read_bytes().splitlines()]

    return run


@pytest.mark.parametrize("output_type", [Review, Verdict, Mood, list[str], Literal["good", "bad"]], ids=str)
def test_a_type_gives_the_same_validated_rows_at_every_endpoint(run, output_type):
    tables = [run(endpoint, output_type=output_type) for endpoint in ENDPOINTS]

    outputs = [[row["llm_output"] for row in table] for table in tables]
    for value in (value for several in outputs for value in several if output_type is Review):
        assert Review.model_validate(value).stars == value.pop("stars")  # nothing in the text decides these
    assert outputs[0] == outputs[1] == outputs[2]
    assert {row["llm_status"] for table in tables for row in table} == {"succeeded"}
    if output_type is Review:
        assert [value["label"] for value in outputs[0]][:2] == ["good", "bad"]


def test_a_type_is_json_in_a_csv(run, endpoint):
    table = run(endpoint, output_type=Review, suffix="csv")

    assert [json.loads(row["llm_output"])["label"] for row in table][:2] == ["good", "bad"]


def test_a_tool_call_is_the_same_data_at_every_endpoint(run):
    tables = [run(endpoint, tools=[set_priority]) for endpoint in ENDPOINTS]

    calls = [[call for row in table for call in row["llm_output"]["tool_calls"]] for table in tables]
    assert all(call.pop("id") for several in calls for call in several)
    assert calls[0] == calls[1] == calls[2]
    assert [call["name"] for call in calls[0]] == ["set_priority"] * len(TEXTS)
    assert {call["arguments"]["level"] for call in calls[0]} <= {"low", "high"}


def test_an_answer_without_a_call_has_the_same_form(run, endpoint):
    choice = {"type": "none"} if endpoint == "messages" else "none"

    table = run(endpoint, tools=[set_priority], request_params={"tool_choice": choice})

    assert [row["llm_output"]["tool_calls"] for row in table] == [[]] * len(TEXTS)
    assert all(row["llm_output"]["text"] for row in table)


def test_what_the_users_own_validator_refuses_is_invalid_and_keeps_its_text(run, endpoint, tmp_path):
    with pytest.raises(AirflowFailException, match="3 × invalid_output"):
        run(endpoint, output_type=Picky)

    lines = (tmp_path / endpoint.replace(" ", "_")).with_suffix(".jsonl").read_bytes().splitlines()
    rows = [json.loads(line) for line in lines]
    assert {(row["llm_status"], row["llm_round"]) for row in rows} == {("invalid", 2)}
    assert all("no label is good enough" in row["llm_error_message"] for row in rows)
    assert all(isinstance(json.loads(row["llm_output"]), dict) for row in rows)


def test_a_reconcile_task_knows_the_schema_without_the_type(run, endpoint, tmp_path):
    run(endpoint, output_type=Review)

    again = LLMBatchReconcileOperator(
        task_id="again", job=run.summary["job_uri"], output_uri=f"{tmp_path}/again.jsonl", deferrable=False
    )
    again.execute(context("again"))

    rows = [json.loads(line)["llm_output"]["label"] for line in (tmp_path / "again.jsonl").read_bytes().splitlines()]
    assert rows[:2] == ["good", "bad"]


@pytest.mark.parametrize(
    "part",
    [
        pytest.param({"type": "image", "source": "{{ record.file }}"}, id="image-url"),
        pytest.param({"type": "image", "source": f"data:image/png;base64,{PIXEL}"}, id="image-data"),
        pytest.param({"type": "document", "source": f"data:application/pdf;base64,{PAGE}"}, id="pdf-data"),
    ],
)
def test_pictures_and_pdfs_are_asked_about_in_the_same_words_at_every_endpoint(run, endpoint, part):
    source = [{"file": f"https://example.com/{number}.png", "text": "x"} for number in range(2)]
    messages = [{"role": "user", "content": [part, {"type": "text", "text": "What is on {{ record.file }}?"}]}]

    table = run(endpoint, source=source, messages=messages)

    assert [row["llm_status"] for row in table] == ["succeeded", "succeeded"]
