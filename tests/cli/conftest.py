"""Jobs in every state, and the command line called as a shell would."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from airflow_provider_llmbatch.cli import main
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from tests.bench import Bench
from tests.operators.conftest import context, vendor  # noqa: F401 - the fixture

RECORDS = [{"text": f"SECRET text {number}"} for number in range(20)]


class Ran(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


@pytest.fixture
def base(tmp_path: Path) -> str:
    return f"file://{tmp_path}/jobs"


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run one command."""

    def call(*argv: str) -> Ran:
        capfd.readouterr()
        try:
            code = main([str(word) for word in argv])
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capfd.readouterr()
        return Ran(code, said.out, said.err)

    return call


@pytest.fixture
def submit(vendor: Bench, emulator: Any, base: str) -> Callable[..., str]:  # noqa: F811
    """Begin a job, let its two batches run for ever, and return the job's URI."""
    vendor.connect(max_requests=10)
    emulator.set_options(batch_seconds=10_000_000)

    def begin(task_id: str = "label", *, errors: bool = False, **changes: Any) -> str:
        given = {
            "task_id": task_id,
            "model": f"{vendor.vendor}:{vendor.model}",
            "source": RECORDS,
            "prompt": "Echo {{ record.text }}",
            "base_uri": base,
            "wait_for_completion": False,
            "deferrable": False,
            **changes,
        }
        with contextlib.suppress(Exception) if errors else contextlib.nullcontext():
            LLMBatchJobOperator(**given).execute(context(task_id))
        return f"{base}/reviews/manual__2026-11-22/{task_id}"

    return begin
