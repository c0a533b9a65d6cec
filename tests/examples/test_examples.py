"""Every example DAG runs, on real Airflow, as it is."""

import csv
import json
from collections import Counter
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from pydoc_data.topics import topics
from signal import Signals

import pytest

from airflow_provider_llmbatch.emulator.options import Options

EXAMPLES = Path(__file__).parents[2] / "example_dags"
WINDOW = max(map(len, topics.values())) // 7
"""Tokens, of four bytes each, that a small model reads: half of the longest page, and not all of it."""


def read(path: Path) -> list[dict]:
    with path.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines)) if path.suffix == ".csv" else [json.loads(line) for line in lines]


def result(dag_run, task_id: str):
    """Return what a task returned."""
    return dag_run.get_task_instance(task_id).xcom_pull(task_ids=task_id)


@pytest.fixture
def labelled(run, tmp_path):
    """The docstring example, run; and where its files are."""
    return run(EXAMPLES, "example_label_docstrings"), tmp_path


def test_the_folder_holds_these_dags_and_no_broken_one(dag_bag):
    bag = dag_bag(EXAMPLES)

    assert not bag.import_errors
    asks = [] if find_spec("airflow.sdk") is None else ["example_approval"]  # since Airflow 3.1
    assert sorted(bag.dags) == [
        *asks,
        "example_caching",
        "example_daily",
        "example_decorated",
        "example_embeddings",
        "example_failures",
        "example_label_docstrings",
        "example_many_files",
        "example_three_operators",
        "example_tools",
        "example_typed_answers",
    ]


def test_two_vendors_label_the_same_table_and_every_record_has_its_row(labelled):
    dag_run, folder = labelled
    asked = [record["name"] for record in read(folder / "docstrings.jsonl")]

    for output in ("openai.jsonl", "anthropic.csv"):
        rows = read(folder / output)
        assert [row["name"] for row in rows] == [row["llm_key"] for row in rows] == asked
        assert Counter(row["llm_status"] for row in rows) == {"succeeded": len(asked)}

    assert dag_run.state == "success"
    assert len(asked) == len(set(asked)) == result(dag_run, "collect") > 5_000
    assert result(dag_run, "compare")["file"]


def test_submit_wait_and_collect_do_what_one_task_does(run, tmp_path):
    dag_run = run(EXAMPLES, "example_three_operators")

    rows = read(tmp_path / "errors.csv")
    assert dag_run.state == "success"
    assert {row["llm_output"] for row in rows} <= {"retry", "abort"}
    assert result(dag_run, "submit")["status"] == "submitted"
    assert result(dag_run, "collect")["counts"]["succeeded"] == len(rows) > 50


def test_a_job_for_every_file_of_a_folder_and_one_task_that_reads_all_outputs(run, tmp_path):
    dag_run = run(EXAMPLES, "example_many_files")

    sources, outputs = (sorted((tmp_path / name).glob("*.jsonl")) for name in ("kinds", "programs"))
    assert dag_run.state == "success"
    assert len(outputs) == len(sources) >= 6
    for source, output in zip(sources, outputs, strict=True):
        assert [row["suffix"] for row in read(output)] == [record["suffix"] for record in read(source)]
    answers = Counter(row["llm_output"] for output in outputs for row in read(output))
    assert result(dag_run, "count") == answers


def test_the_second_day_pays_for_the_zones_whose_clocks_were_changed(run, tmp_path, vendors):
    days = ("2026-10-24", "2026-10-26")
    billed, tables = [], []
    for day in days:
        before = vendors.bill()["total"]["requests_billed"]
        dag_run = run(EXAMPLES, "example_daily", day=day)
        assert dag_run.state == "success"
        billed.append(vendors.bill()["total"]["requests_billed"] - before)
        tables.append(read(tmp_path / f"calls-{day}.csv"))

    changed = [old["zone"] for old, new in zip(*tables, strict=True) if old["hours"] != new["hours"]]
    job = result(dag_run, "explain")
    assert billed == [len(tables[0]), len(changed)]
    assert "Europe/Paris" in changed
    assert len(tables[0]) > 400 > len(changed) > 20
    assert [row["zone"] for row in tables[1] if row["llm_round"] != "0"] == changed
    assert job["reused"]["rows"] == len(tables[0]) - len(changed)
    assert result(dag_run, "report").startswith(f"{len(changed)} asked for {job['cost_usd']} USD")


@pytest.fixture
def troubled(vendors):
    """The vendors with a small model, and with no faults but the test's own."""
    vendors.clear_faults()
    vendors.set_options(context_tokens=WINDOW)
    yield vendors
    vendors.clear_faults()
    vendors.fault("*.batches.create", row="server_error", rate=0.02, once=True)
    vendors.set_options(context_tokens=Options().context_tokens)


def test_both_vendors_answer_with_an_object_of_the_type_and_a_task_compares_them(run, tmp_path):
    dag_run = run(EXAMPLES, "example_typed_answers")

    tables = [read(tmp_path / f"advice-{vendor}.jsonl") for vendor in ("openai", "anthropic")]
    assert dag_run.state == "success"
    for rows in tables:
        assert [row["code"] for row in rows] == [status.value for status in HTTPStatus]
        assert {row["llm_status"] for row in rows} == {"succeeded"}
        assert all(row["llm_output"].keys() == {"reason", "action", "tries"} for row in rows)
        assert {row["llm_output"]["tries"] for row in rows} <= {0, 1, 3, 10}
    actions = [[row["llm_output"]["action"] for row in rows] for rows in tables]
    same = Counter(one for one, other in zip(*actions, strict=True) if one == other)
    assert result(dag_run, "compare") == same
    assert same.total() > 0


def test_the_calls_of_tools_arrive_as_data_and_are_carried_out(run, tmp_path):
    dag_run = run(EXAMPLES, "example_tools")

    rows = read(tmp_path / "calls.jsonl")
    assert dag_run.state == "success"
    assert [row["name"] for row in rows] == [one.name for one in Signals]
    calls = [call for row in rows for call in row["llm_output"]["tool_calls"]]
    assert len(calls) == len(rows)
    assert Counter(call["name"] for call in calls).keys() == {"start_again", "call_a_person"}
    arguments = {name: [call["arguments"] for call in calls if call["name"] == name] for name in result(dag_run, "act")}
    assert {one["delay"] for one in arguments["start_again"]} <= {"none", "a minute", "an hour"}
    assert {one["team"] for one in arguments["call_a_person"]} <= {"platform", "application"}
    assert {name: len(done) for name, done in result(dag_run, "act").items()} == Counter(call["name"] for call in calls)


@pytest.fixture
def remembering(vendors):
    """The vendors, with a prompt cache."""
    vendors.set_options(cache=True)
    yield
    vendors.set_options(cache=False)


@pytest.mark.usefixtures("remembering")
def test_a_long_text_is_written_to_the_cache_once_and_read_for_every_other_record(run, tmp_path):
    dag_run = run(EXAMPLES, "example_caching")

    job, rows = result(dag_run, "explain"), read(tmp_path / "methods.csv")
    assert dag_run.state == "success"
    assert job["counts"]["succeeded"] == len(rows) > 100
    assert len(job["batch_ids"]) >= 2
    assert job["cache_hit_ratio"] > 0.9
    assert float(job["cache_saved_usd"]) > 4 * float(job["cost_usd"])
    assert result(dag_run, "compare").startswith("9")


def test_what_fails_at_first_is_asked_again_as_it_helps_and_what_is_left_by_a_second_task(run, tmp_path, troubled):
    names = sorted(topics)
    refused, broken = names.index("assert"), names.index("booleans")
    troubled.fault("openai.batches.create", row="refusal", index=[refused], times=1)
    troubled.fault("openai.batches.create", row="server_error", index=[broken], times=4)

    dag_run = run(EXAMPLES, "example_failures")

    first, then = result(dag_run, "ask"), result(dag_run, "ask_again")
    rows = {row["topic"]: row for row in read(tmp_path / "sentences.jsonl")}
    assert dag_run.state == "success"
    assert (first["counts"]["errored"], first["errors"]) == (1, {"server_error": 1})
    assert then["counts"]["succeeded"] == then["counts"]["total"] == len(names) == len(rows)
    assert then["rounds"] > first["rounds"] == 3
    cut = [topic for topic in names if len(topics[topic]) > 4 * WINDOW]
    assert cut
    assert all(rows[topic]["llm_round"] > 1 and rows[topic]["text"] == topics[topic] for topic in cut)
    assert rows["assert"]["llm_model"].startswith("gpt-6-sol")
    assert (rows["booleans"]["llm_round"], rows["booleans"]["llm_status"]) == (then["rounds"], "succeeded")
    assert sum(row["llm_round"] == 2 for row in rows.values()) > len(cut)  # those that needed more room


def test_every_page_has_its_vector_and_the_page_that_is_most_like_it(run, tmp_path):
    dag_run = run(EXAMPLES, "example_embeddings")

    rows = read(tmp_path / "vectors.jsonl")
    nearest = result(dag_run, "neighbours")
    assert dag_run.state == "success"
    assert [row["topic"] for row in rows] == sorted(topics) == sorted(nearest)
    assert {len(row["llm_output"]) for row in rows} == {256}
    assert all(other in topics and other != topic for topic, other in nearest.items())
