"""Mapped tasks: each has a job and an output of its own, and no other's."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from airflow_provider_llmbatch._compat import AirflowException, AirflowFailException
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from tests.operators.conftest import context


@pytest.fixture
def ask(vendor, emulator, tmp_path):
    """Run mapped task *index* on one record, until its rows are written."""
    emulator.set_options(batch_seconds=60)

    def run(index: int, text: str, output: str | None) -> dict:
        return LLMBatchJobOperator(
            task_id="label",
            model=f"{vendor.vendor}:{vendor.model}",
            source=[{"text": text}],
            prompt="Echo {{ record.text }}",
            base_uri=f"file://{tmp_path}/jobs",
            output_uri=output and output.format(folder=tmp_path),
            deferrable=False,
            poll_interval=0.2,
        ).execute(context(map_index=index))

    return run


def paid(emulator) -> int:
    return len(emulator.bill()["batches"])


def texts(uri: str) -> list[str]:
    return [json.loads(line)["text"] for line in Path(uri.removeprefix("file://")).read_text().splitlines()]


@pytest.mark.parametrize("output", ["{folder}/out.jsonl", "file://{folder}/out.csv/"], ids=["file", "folder"])
def test_an_output_that_a_sibling_has_is_refused_before_anything_is_sent(ask, emulator, tmp_path, output):
    ask(0, "one", output)
    before = {path: path.read_bytes() for path in tmp_path.glob("out*/**/*") if path.is_file()}

    with pytest.raises(AirflowFailException, match=r"is that of mapped task 0 too, and this is 1.*\{\{ ti\.map_index"):
        ask(1, "two", output)

    assert paid(emulator) == 1
    assert {path: path.read_bytes() for path in tmp_path.glob("out*/**/*") if path.is_file()} == before


@pytest.mark.parametrize("outputs", [[None, None], ["{folder}/out-0.jsonl", "{folder}/out-1.jsonl"]], ids=str)
def test_each_has_a_job_and_rows_of_its_own(ask, emulator, tmp_path, outputs):
    found = [ask(index, f"text {index}", output) for index, output in enumerate(outputs)]

    assert [texts(summary["output_uri"]) for summary in found] == [["text 0"], ["text 1"]]
    assert [summary["job_uri"].rpartition("/label/")[2] for summary in found] == ["0", "1"]
    assert paid(emulator) == 2


def test_a_cleared_task_still_has_its_output(ask, emulator):
    first = ask(0, "one", "{folder}/out.jsonl")

    assert ask(0, "one", "{folder}/out.jsonl") == first
    assert paid(emulator) == 1


def test_an_output_is_free_again_when_its_task_asks_something_else(ask):
    """Say that the list of files grew at its beginning and everything was cleared: each index has another file."""
    ask(0, "b", "{folder}/b.jsonl")

    assert texts(ask(0, "a", "{folder}/a.jsonl")["output_uri"]) == ["a"]
    assert texts(ask(1, "b", "{folder}/b.jsonl")["output_uri"]) == ["b"]
    with pytest.raises(AirflowFailException, match="is that of mapped task 1 too, and this is 0"):
        ask(0, "a", "{folder}/b.jsonl")


def test_a_claim_that_cannot_be_read_is_no_leave_to_write(ask, emulator, tmp_path):
    ask(0, "one", "{folder}/out.jsonl")
    (claim,) = tmp_path.glob("jobs/*/*/label/outputs/*.json")
    claim.write_text("{")

    with pytest.raises(AirflowException, match=r"cannot be read.*Nothing was sent or written"):
        ask(1, "two", "{folder}/out.jsonl")
    assert paid(emulator) == 1


def test_a_table_takes_the_rows_of_all(ask, tmp_path, monkeypatch):
    pytest.importorskip("airflow.providers.sqlite")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": f"{tmp_path}/rows.db"}))

    for index in (0, 1):
        ask(index, f"text {index}", "sql://warehouse/labels")

    with closing(sqlite3.connect(tmp_path / "rows.db")) as rows:
        assert rows.execute("SELECT text FROM labels ORDER BY text").fetchall() == [("text 0",), ("text 1",)]
