"""Every example DAG runs, on real Airflow, as it is."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "example_dags"


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
    assert sorted(bag.dags) == ["example_label_docstrings", "example_three_operators"]


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
