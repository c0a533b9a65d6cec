"""The decorator on real Airflow: the example, and that no record touches XCom."""

import json
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "example_dags"


def test_every_record_of_the_function_has_its_row_and_only_the_summary_is_handed_on(run, tmp_path):
    dag_run = run(EXAMPLES, "example_decorated")

    rows = [json.loads(line) for line in (tmp_path / "settings.jsonl").read_text().splitlines()]
    summary, counted = (
        dag_run.get_task_instance(task_id).xcom_pull(task_ids=task_id) for task_id in ("settings", "count")
    )
    assert dag_run.state == "success"
    assert len(rows) > 100
    assert {row["llm_status"] for row in rows} == {"succeeded"}
    assert "core.dags_folder" in {row["name"] for row in rows}
    assert not [row["name"] for row in rows if row["name"].startswith("logging.")]
    assert summary["counts"]["total"] == sum(counted.values()) == len(rows)
    assert "dags_folder" not in json.dumps(summary)
    assert len(json.dumps(summary)) < 2000
