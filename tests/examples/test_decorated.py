"""The decorator on real Airflow: the example, and that no record touches XCom."""

import json
import os
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


MAPPED = """
try:
    from airflow.sdk import dag, task
except ImportError:
    from airflow.decorators import dag, task
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from airflow_provider_llmbatch.sources import SqlSource


@dag(schedule=None)
def mapped():
    @task.llm_batch_job(model="openai:gpt-6-luna", output_uri="{{ params.folder }}/shop-{{ ti.map_index }}.jsonl")
    def reviews(shop: str, copies: int, ds=None) -> dict:
        for _ in range(copies):
            yield f"SECRET of {shop}"

    reviews.partial(copies=2).expand(shop=["east", "west"])
    LLMBatchJobOperator.partial(
        task_id="rows", model="openai:gpt-6-luna", output_uri="{{ params.folder }}/rows-{{ ti.map_index }}.jsonl"
    ).expand(source=[SqlSource("shop", f"select '{name} {{{{ ti.map_index }}}}' as prompt") for name in ("a", "b")])


mapped()
"""


def prompts(path):
    return [json.loads(line)["prompt"] for line in path.read_text().splitlines()]


def test_functions_and_queries_may_be_mapped_and_airflow_stores_no_record(run, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "shop.db")}))
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "mapped.py").write_text(MAPPED.replace("{{ params.folder }}", str(tmp_path)))

    dag_run = run(tmp_path / "dags", "mapped")

    assert dag_run.state == "success"
    assert [prompts(tmp_path / f"shop-{index}.jsonl") for index in (0, 1)] == [
        ["SECRET of east"] * 2,
        ["SECRET of west"] * 2,
    ]
    assert b"SECRET of east" not in (Path(os.environ["AIRFLOW_HOME"]) / "airflow.db").read_bytes()
    assert [prompts(tmp_path / f"rows-{index}.jsonl") for index in (0, 1)] == [["a 0"], ["b 1"]]
