"""The sample comes from all over the request files, whatever they look like, and is the same each time it is taken."""

from __future__ import annotations

import pytest

from airflow_provider_llmbatch.core.texts import weigh
from airflow_provider_llmbatch.engine import expect
from airflow_provider_llmbatch.engine.estimate import PIECES, estimate
from airflow_provider_llmbatch.exceptions import ManifestError
from airflow_provider_llmbatch.storage.folder import LocalFolder
from tests.bench import served


@pytest.fixture(params=["anthropic", "openai"])
def bench(request, emulator, monkeypatch):
    return served(request.param, emulator, monkeypatch)


def make(bench, folder, records, **question):
    return bench.job(folder, records, prompt="Echo {{ record.text }}", **question)


def text_of(job, folder):
    """Return how many tokens all requests have by our figures."""
    lines = [line for path in sorted(folder.glob("job/requests/*")) for line in path.read_bytes().splitlines()]
    return sum(weigh(job.hook.body_of(line)).tokens for line in lines)


def short(number):
    return {"text": f"{number} " + "word " * (number % 40)}


def long(number):
    """Some 200 KB each: longer than what is read at first."""
    return {"text": f"{number} " + "word " * (40_000 + number)}


@pytest.mark.parametrize(
    ("records", "per_batch", "is_whole"),
    [
        pytest.param([short(number) for number in range(1_000)], 100, True, id="few"),
        pytest.param([short(number) for number in range(20_000)], 10_000, False, id="many"),
        pytest.param([short(number) for number in range(5_000)], 5, False, id="more-shards-than-pieces"),
        pytest.param([long(number) for number in range(40)], 7, True, id="long"),
        pytest.param([long(1)] + [short(number) for number in range(2_000)], 900, True, id="one-long-among-short"),
        pytest.param([long(n) if n % 9 == 0 else short(n) for n in range(900)], 90, False, id="both-kinds"),
    ],
)
def test_all_texts_are_as_many_tokens_as_the_sample_says(bench, tmp_path, records, per_batch, is_whole):
    bench.connect(max_requests=per_batch)
    job = make(bench, tmp_path, records)

    found = expect(job)

    truth = text_of(job, tmp_path)
    assert found.requests == len(records)
    if is_whole:
        assert (found.sampled, found.text_tokens) == (len(records), pytest.approx(truth, abs=1))
    else:
        assert found.sampled < len(records)
        assert abs(found.text_tokens / truth - 1) < 0.1


def test_the_sample_is_the_same_each_time(bench, tmp_path):
    job = make(bench, tmp_path, [short(number) for number in range(2_000)])
    shards = (expect(job), job.manifest.rounds[0].prepared.shards)[1]

    assert estimate(job, 1, shards).lanes == estimate(job, 1, shards).lanes == job.folder.estimate().lanes


def test_a_large_job_is_read_in_a_few_pieces(bench, tmp_path, monkeypatch):
    job = make(bench, tmp_path, [short(number) for number in range(20_000)])
    read, whole = [], LocalFolder.piece
    monkeypatch.setattr(LocalFolder, "piece", lambda self, *args: read.append(args[2]) or whole(self, *args))

    found = expect(job)

    assert PIECES <= len(read) <= 2 * PIECES  # the last line of a piece may end in the next one
    assert found.cost_usd.at_most > 0


def test_a_request_file_that_was_cut_off_is_said_to_be(bench, tmp_path):
    job = make(bench, tmp_path, [short(number) for number in range(20)])
    shards = (expect(job), job.manifest.rounds[0].prepared.shards)[1]
    (path,) = tmp_path.glob("job/requests/*")
    path.write_bytes(path.read_bytes()[:-9])

    with pytest.raises(ManifestError, match=r"r1-00000\.jsonl' ends within a line"):
        estimate(job, 1, shards)


@pytest.mark.parametrize("bench", ["openai"], indirect=True)
def test_models_of_their_own_have_prices_of_their_own(bench, tmp_path):
    records = [{"model": f"gpt-6-{name}", "prompt": f"Say {n}."} for name in ("luna", "astra") for n in range(50)]

    found = expect(bench.job(tmp_path, records, model="", max_tokens=100))

    luna, astra = sorted(found.lanes, key=lambda lane: lane.output_usd)
    assert float(astra.output_usd) == pytest.approx(100 * float(luna.output_usd))
    assert found.output_tokens.at_most == 100 * 100 == 100 * found.requests


@pytest.mark.parametrize("bench", ["openai"], indirect=True)
def test_vectors_cost_their_input_and_are_expected_to(bench, tmp_path):
    records = [{"body": {"input": f"text {number}"}} for number in range(20)]

    found = expect(
        bench.job(tmp_path, records, model="text-embedding-3-small", endpoint="/v1/embeddings", max_tokens=None)
    )

    assert (found.output_tokens.expected, found.output_tokens.at_most) == (0, 0)
    assert 0 < found.cost_usd.expected < found.cost_usd.at_most
