"""More records than one batch may hold: as many batches as it takes, and the rows in input order."""

from __future__ import annotations

import json

import pytest

from airflow_provider_llmbatch.emulator import Emulator
from tests.bench import MODELS, Bench


@pytest.mark.slow
@pytest.mark.parametrize(("vendor", "records"), [("openai", 60_000), ("anthropic", 120_000)])
def test_a_source_of_more_than_one_batch_comes_back_in_input_order(vendor, records, tmp_path, monkeypatch):
    source = tmp_path / "in.jsonl"
    with source.open("w") as file:
        file.writelines(json.dumps({"n": number, "text": f"text {number}"}) + "\n" for number in range(records))
    with Emulator(port=0, seed=3) as emulator:
        host = emulator.openai_url if vendor == "openai" else emulator.anthropic_url
        bench = Bench(vendor, MODELS[vendor], host, lambda: emulator.advance(3600), monkeypatch)
        bench.connect()

        summary = bench.complete(lambda: bench.job(tmp_path, str(source), prompt="Echo {{ record.text }}"))
        bill = emulator.bill()

    assert len(summary["batch_ids"]) == 2
    assert summary["counts"]["succeeded"] == records
    assert bill["total"]["requests_billed"] == records
    assert results_are_shuffled(tmp_path / "job" / "results" / "r1-00000.jsonl")
    with (tmp_path / "out.jsonl").open() as file:
        for number, row in enumerate(map(json.loads, file)):
            assert row["llm_index"] == row["n"] == number
            assert f"text {number}" in row["llm_output"]
    assert number == records - 1


def results_are_shuffled(path):
    with path.open() as file:
        indexes = [int(json.loads(next(file))["custom_id"].rsplit("-", 1)[1]) for _ in range(100)]
    return indexes != sorted(indexes)
