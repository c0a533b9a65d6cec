"""Sixty thousand texts become vectors, each beside its record, in as many batches as the vendor's rule asks for."""

from __future__ import annotations

import json

import pytest

from tests.bench import Bench

TEXTS = 60_000
MODEL = "text-embedding-3-small"


@pytest.fixture
def bench(emulator, monkeypatch) -> Bench:
    found = Bench("openai", MODEL, emulator.openai_url, lambda: emulator.advance(100_000), monkeypatch)
    found.connect()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("per_record", [1, 20], ids=["a-text-each", "twenty-texts-each"])
def test_every_text_gets_its_vector_and_no_batch_has_more_inputs_than_it_may(bench, emulator, tmp_path, per_record):
    records = TEXTS // per_record
    source = tmp_path / "in.jsonl"
    with source.open("w") as file:
        for n in range(records):
            texts = [f"text {n}.{part}" for part in range(per_record)]
            file.write(json.dumps({"n": n, "body": {"input": texts if per_record > 1 else texts[0]}}) + "\n")

    summary = bench.complete(
        lambda: bench.job(tmp_path, str(source), endpoint="/v1/embeddings", params={"dimensions": 8}, max_tokens=None)
    )

    assert summary["counts"]["succeeded"] == records
    assert emulator.bill()["total"]["batches"] == 2
    seen = set()
    with (tmp_path / "out.jsonl").open("rb") as file:
        for n, line in enumerate(file):
            row = json.loads(line)
            vectors = row["llm_output"] if per_record > 1 else [row["llm_output"]]
            assert row["n"] == n
            assert len(vectors) == per_record
            assert {len(vector) for vector in vectors} == {8}
            seen |= {tuple(vector) for vector in vectors}
    assert len(seen) > 0.9 * TEXTS  # each its own
