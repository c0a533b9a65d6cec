"""What README and docs show runs as it stands: whole DAGs by Airflow, single operators by themselves."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from airflow_provider_llmbatch.cli import make_parser
from airflow_provider_llmbatch.operators.cancel import LLMBatchCancelOperator
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from airflow_provider_llmbatch.operators.reconcile import LLMBatchReconcileOperator
from airflow_provider_llmbatch.sensors.job import LLMBatchJobSensor
from airflow_provider_llmbatch.vendors import load_hook
from tests.operators.conftest import context

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
LAKE = {
    "reviews.csv": "review_id,text\na,I love it\nb,It broke after a day\nc,Does it come in blue?\n",
    "photos.csv": "photo_id,product,url\n"
    + "".join(f"{n},a cup,https://example.com/{n}.jpg\n" for n in ("a", "b", "c")),
}
"""What the documents' DAGs find where they look: three records each."""
ACTIONS = {
    "asked again as it is": "retry",
    "asked again if it is changed": "change",
    "stops the job: raise the budget": "budget",
    "stops the job: mend key or account": "credential",
    "not asked again": "never",
}
"""How the page on remedies calls them."""


@pytest.fixture
def lake(tmp_path) -> Path:
    """The bucket of the documents, on this machine."""
    folder = tmp_path / "lake"
    folder.mkdir()
    for name, text in LAKE.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("block", [block for block in BLOCKS if "@dag" in block.values[0]])
def test_a_dag_in_a_document_runs(block, run, lake, tmp_path):
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


@pytest.mark.parametrize("vendor", ["OpenAI", "Anthropic"])
def test_the_page_on_remedies_says_of_every_code_what_its_hooks_table_says(vendor):
    page = (ROOT / "docs/reference/remedies.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {vendor}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)

    said = [
        (code, ACTIONS[action])
        for action, codes in re.findall(r"^\| (\w[^|`]*) \| (`.*) \|$", section, re.MULTILINE)
        for code in re.findall(r"`(\w+)`", codes)
    ]

    assert len(said) == len(dict(said))
    assert dict(said) == load_hook(vendor.lower(), None).remedies


def is_operator(block: str) -> bool:
    """Return whether a block shows an operator by itself, with what it needs before it."""
    return "@dag" not in block and re.search(r"^LLMBatch\w+\(", block, re.MULTILINE) is not None


@pytest.mark.parametrize("block", [block for block in BLOCKS if is_operator(block.values[0])])
def test_an_operator_in_a_document_does_its_work(block, vendors, lake, tmp_path):
    made = []
    names = {name: lambda cls=cls, **given: made.append(cls(**given)) for name, cls in PUBLIC.items()}

    exec(block.replace("s3://lake/", f"file://{lake}/"), names)

    (operator,) = made
    if isinstance(operator, LLMBatchJobOperator):
        operator.base_uri, operator.poll_interval = f"file://{tmp_path}/jobs", 0.5
        summary = operator.execute(context(operator.task_id))
        assert summary["counts"]["succeeded"] == summary["counts"]["total"] > 0
