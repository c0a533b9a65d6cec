"""What README and docs show runs as it stands: whole DAGs are run, single operators are made."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from airflow_provider_llmbatch.cli import make_parser
from airflow_provider_llmbatch.operators.cancel import LLMBatchCancelOperator
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from airflow_provider_llmbatch.operators.reconcile import LLMBatchReconcileOperator
from airflow_provider_llmbatch.sensors.job import LLMBatchJobSensor

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PUBLIC = {
    cls.__name__: cls
    for cls in (LLMBatchCancelOperator, LLMBatchJobOperator, LLMBatchJobSensor, LLMBatchReconcileOperator)
}
DOCUMENTS = [ROOT / "README.md", ROOT / "example_dags/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{path.relative_to(ROOT)}-{number}")
    for path in DOCUMENTS
    for number, block in enumerate(BLOCK.findall(path.read_text(encoding="utf-8")))
]
REVIEWS = "review_id,text\na,I love it\nb,It broke after a day\nc,Does it come in blue?\n"


@pytest.mark.parametrize("block", [block for block in BLOCKS if "@dag" in block.values[0]])
def test_a_dag_in_a_document_runs(block, run, tmp_path):
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "reviews.csv").write_text(REVIEWS)
    block = block.replace("s3://lake/", f"file://{lake}/")
    if find_spec("airflow.sdk") is None:  # what the document shows is Airflow 3's way
        block = block.replace("from airflow.sdk import dag", "from airflow.decorators import dag")
    (tmp_path / "shown.py").write_text(block)

    dag_run = run(tmp_path, re.search(r"^def (\w+)\(\):", block, re.MULTILINE)[1])

    assert dag_run.state == "success"
    assert (lake / "labels.csv").read_text().count("succeeded") == 3


def test_the_page_on_the_command_line_has_a_section_on_every_command_and_no_other():
    page = (ROOT / "docs/reference/command-line.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    ([a-z]+)  ", make_parser().format_help(), re.MULTILINE)

    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == commands


@pytest.mark.parametrize("block", [block for block in BLOCKS if re.match(r"LLMBatch\w+\(", block.values[0])])
def test_an_operator_in_a_document_takes_these_arguments(block):
    exec(block, dict(PUBLIC))
