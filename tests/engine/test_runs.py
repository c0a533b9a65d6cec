"""Rows that are made when their answers are read are, byte for byte, those that are made at the end."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.engine import landing, shelf
from airflow_provider_llmbatch.engine.finish import finish
from tests.bench import served

ROWS = [{}, {"n": 1}, {"n": 1.10, "text": "東京 \u2028"}, {"nested": {"a": [1, None]}}, {"text": "", "n": None}]
VARIES = ("llm_batch_id", "llm_custom_id")


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
    monkeypatch.setattr(landing, "RUN", 7)
    if fails:
        emulator.fault("*.batches.create", row="error", code="api_error", status=500, index=[3, 31, 32, 69])
    make = lambda: bench.job(tmp_path, source, prompt="Echo {{ record.id }}", key=key, terms={"max_rounds": 1})  # noqa: E731
    bench.complete(make)
    job = make()
    job.refresh()
    assert landing.is_straight(job)

    quickly = outputs(job)
    monkeypatch.setattr(import_module(finish.__module__), "is_straight", lambda job: False)
    singly = outputs(job)

    assert quickly == singly
    counts = quickly[1]["counts"]
    assert counts["total"] == len(ROWS) * 40
    assert counts["errored"] == (4 if fails else 0)
    assert Decimal(quickly[1]["cost_usd"]) > 0


def test_rows_that_do_not_fit_in_memory_at_once_are_the_same(bench, tmp_path, source, monkeypatch):
    def run(folder):
        folder.mkdir()
        bench.complete(lambda: bench.job(folder, source, prompt="Echo {{ record.id }}"))
        rows = [json.loads(line) for line in (folder / "out.jsonl").read_bytes().splitlines()]
        return [(row["id"], row["llm_status"], row["llm_output"]) for row in rows]

    monkeypatch.setattr(landing, "RUN", 7)
    expected = run(tmp_path / "in one piece")
    monkeypatch.setattr(shelf, "MOST", 9_000)

    assert run(tmp_path / "in pieces") == expected


@given(st.lists(st.tuples(st.integers(0, 9), st.binary(min_size=1, max_size=9).filter(lambda line: b"\n" not in line))))
def test_a_shelf_gives_back_the_last_line_of_each_position(tmp_path_factory, put):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shelf, "MOST", 20)
        lines = shelf.Shelf(tmp_path_factory.mktemp("shelf") / "r1-00000", 10)
        for position, line in put:
            lines.put([position], [line])
        lines.close()

    assert list(lines.lines()) == [dict(put).get(position, b"") + b"\n" for position in range(10)]


@pytest.mark.parametrize("fails", [False, True])
def test_results_that_children_read_make_the_same_rows(bench, emulator, tmp_path, source, monkeypatch, fails):
    def run(folder):
        folder.mkdir()
        bench.complete(lambda: bench.job(folder, source, prompt="Echo {{ record.id }}", terms={"max_rounds": 2}))
        rows = [json.loads(line) for line in (folder / "out.jsonl").read_bytes().splitlines()]
        return [{name: value for name, value in row.items() if name not in VARIES} for row in rows]

    def land_elsewhere(*asked):
        assert os.getpid() != here
        return landing.land(*asked)

    here, collect = os.getpid(), import_module("airflow_provider_llmbatch.engine.collect")
    if fails:
        emulator.fault("*.batches.create", row="error", code="api_error", status=500, index=[3, 31, 32, 69])
    expected = run(tmp_path / "alone")
    monkeypatch.setattr(collect, "helpers", lambda: 2)
    monkeypatch.setattr(collect, "LARGE", 0)
    monkeypatch.setattr(collect, "land", land_elsewhere)

    assert run(tmp_path / "beside") == expected
    assert len(expected) == len(ROWS) * 40
