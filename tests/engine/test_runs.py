"""Rows that are written many at once are, byte for byte, those that are written one by one."""

from __future__ import annotations

import json
from decimal import Decimal
from importlib import import_module

import pytest

from airflow_provider_llmbatch.engine import kept, runs
from airflow_provider_llmbatch.engine.finish import finish
from tests.bench import served

ROWS = [{}, {"n": 1}, {"n": 1.10, "text": "東京 \u2028"}, {"nested": {"a": [1, None]}}, {"text": "", "n": None}]


@pytest.fixture(params=["anthropic", "openai"])
def bench(request, emulator, monkeypatch):
    found = served(request.param, emulator, monkeypatch)
    found.connect(max_requests=70)
    return found


@pytest.fixture
def source(tmp_path):
    """Write records as people write JSON, with blanks here and there."""
    path = tmp_path / "in.jsonl"
    lines = [json.dumps(row | {"id": number}, ensure_ascii=number % 2 == 0) for number, row in enumerate(ROWS * 40)]
    path.write_text("\n".join(line.replace("{", "{ ", 1) + "\r" * (len(line) % 2) for line in lines))
    return str(path)


def outputs(job):
    """Finish the job once more and return its three files."""
    summary = finish(job)
    files = (job.terms.output_uri, f"{job.folder.uri}/failed/rows.jsonl")
    return [open(name.removeprefix("file://"), "rb").read() for name in files], summary


@pytest.mark.parametrize("key", [None, "id"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_files_are_the_same_either_way(bench, emulator, tmp_path, source, monkeypatch, key, fails):
    monkeypatch.setattr(kept, "BLOCK_BYTES", 5_000)
    if fails:
        emulator.fault("*.batches.create", row="error", code="api_error", status=500, index=[3, 31, 32, 69])
    make = lambda: bench.job(tmp_path, source, prompt="Echo {{ record.id }}", key=key, terms={"max_rounds": 1})  # noqa: E731
    bench.complete(make)
    job = make()
    job.refresh()
    assert runs.is_straight(job)

    quickly = outputs(job)
    monkeypatch.setattr(import_module(finish.__module__), "is_straight", lambda job: False)
    singly = outputs(job)

    assert quickly == singly
    counts = quickly[1]["counts"]
    assert counts["total"] == len(ROWS) * 40
    assert counts["errored"] == (4 if fails else 0)
    assert Decimal(quickly[1]["cost_usd"]) > 0


def test_answers_that_are_too_many_to_keep_are_read_again(bench, tmp_path, source, monkeypatch):
    def run(folder):
        folder.mkdir()
        bench.complete(lambda: bench.job(folder, source, prompt="Echo {{ record.id }}"))
        rows = [json.loads(line) for line in (folder / "out.jsonl").read_bytes().splitlines()]
        return [(row["id"], row["llm_status"], row["llm_output"]) for row in rows]

    expected = run(tmp_path / "kept")
    monkeypatch.setattr(kept, "MOST", 100)

    assert run(tmp_path / "not kept") == expected
