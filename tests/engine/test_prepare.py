"""Records become requests in blocks; what is written does not depend on how they were grouped."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.engine.prepare import prepare_first
from airflow_provider_llmbatch.engine.twins import Repeats
from airflow_provider_llmbatch.exceptions import InputError
from tests.bench import served

ODD = [
    "plain",
    "",
    7,
    None,
    1.5,
    True,
    ["a", {"b": 1}],
    {"c": "d"},
    '\u2028 \x85 \\ " \t',
    "Größe 東京",
    "{{ x }}",
    "%s",
]
PLAIN, FULL = "{{ record.text }}", "{% if true %}{{ record.text }}{% endif %}"


@pytest.fixture(params=["anthropic", "openai"])
def bench(request, emulator, monkeypatch):
    return served(request.param, emulator, monkeypatch)


def prepared(bench, folder, source, **question):
    """Prepare round 1 and return the job."""
    job = bench.job(folder, source, **question)
    job.refresh()
    prepare_first(job)
    return job


def requests(job):
    """Return the request lines of every shard, each without the job's name."""
    files = [job.folder.files.local(job.folder.requests_name(shard)) for shard in job.manifest.shards]
    return [file.read_bytes().replace(job.spec.job_id.encode(), b"").splitlines() for file in files]


def test_a_plain_template_and_one_that_needs_jinja_write_the_same_requests(bench, tmp_path):
    source = (
        [{"text": "x" * 20_000}] * 40 + [{"text": odd} for odd in ODD] * 3 + [{"text": f"{n}"} for n in range(3000)]
    )
    bench.connect(max_requests=700)

    quick = prepared(bench, tmp_path / "quick", source, prompt=f"Echo {PLAIN}")
    full = prepared(bench, tmp_path / "full", source, prompt=f"Echo {FULL}")

    assert requests(quick) == requests(full)
    assert [len(lines) for lines in requests(quick)][:-1] == [700] * (len(requests(quick)) - 1)


def test_records_with_the_same_request_are_found_wherever_they_are(bench, tmp_path):
    """A list and its text print the same; the one is written in full, the other as part of a block."""
    source = [{"text": f"{n}"} for n in range(2500)]
    source[3] = source[2400] = {"text": "again"}
    source[1200], source[2000] = {"text": [1, 2]}, {"text": "[1, 2]"}

    job = prepared(bench, tmp_path, source, prompt=PLAIN)

    event = job.manifest.rounds[0].prepared
    assert (event.records, event.twins) == (2500, 2)
    assert sum(map(len, requests(job))) == 2498
    pairs = (tmp_path / "job" / "twins.jsonl").read_text().split()
    assert pairs == ["[2000,1200]", "[2400,3]"]


def test_records_that_are_requests_themselves_are_compared_whole(bench, tmp_path):
    asked = {"role": "user", "content": "a"}
    source = [{"messages": [asked]}, {"messages": [asked], "request_params": {"metadata": {}}}, {"messages": [asked]}]

    job = prepared(bench, tmp_path, source)

    assert job.manifest.rounds[0].prepared.twins == 1


def test_lines_that_are_kept_as_they_came_are_the_same_records_in_the_output(bench, tmp_path):
    """A byte order mark, blank lines, line ends of Windows, blanks and escapes."""
    source = tmp_path / "in.jsonl"
    source.write_bytes(
        b'\xef\xbb\xbf{"n": 0, "text": "a"}\r\n\r\n'
        + b"".join(b'{ "n" : %d,"text":"\\u6771\\u4eac %d"}\r\n' % (n, n) for n in range(1, 9000))
        + b'{"n":9000,"text":"no newline"}'
    )

    bench.complete(lambda: bench.job(tmp_path, str(source), prompt="Echo {{ record.text }}"))

    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [(row["n"], row["llm_index"], row["llm_key"]) for row in rows] == [(n, n, f"{n}") for n in range(9001)]
    assert rows[7]["text"] == "東京 7"
    assert "東京 7" in rows[7]["llm_output"]


def test_text_is_sent_as_utf8_so_that_a_batch_holds_as_much_of_it_as_its_bytes_allow(bench, tmp_path):
    """The source has escapes, six bytes for each of these characters; a request has three."""
    room, records, size = 1_000_000, 1500, 3 * 500
    bench.connect(max_bytes=room)
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"text": f"{n:04}" + "深夜特急" * 125}) + "\n" for n in range(records)))

    job = prepared(bench, tmp_path, str(source), prompt=PLAIN)

    shards = [shard.shard for shard in job.manifest.shards]
    line = max(len(line) + 1 for lines in requests(job) for line in lines) + len(job.spec.job_id)
    assert size < line < size + 300
    assert len(shards) == 3
    assert all(room - job.hook.limits.envelope_bytes - shard.bytes < line for shard in shards[:-1])
    assert sum(shard.count for shard in shards) == records


@pytest.mark.parametrize(("first", "second"), [("a", "a"), (5, "5")], ids=["same-text", "a-number-and-its-text"])
def test_a_key_that_comes_twice_is_refused_however_far_apart(bench, emulator, tmp_path, first, second):
    source = [{"id": first}, *({"id": f"key {n}"} for n in range(3000)), {"id": second}]
    job = bench.job(tmp_path, source, key="id", prompt="{{ record.id }}")

    with pytest.raises(InputError, match=f"record 3001: key 'id' = {str(second)!r} is a duplicate, record 0") as caught:
        prepare_first(job)

    assert caught.value.context == {"index": 3001, "key": str(second)}
    assert not [call for call in emulator.calls() if call["method"] == "POST"]


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), -1, 0, 1, 2**63 - 1])), st.integers(1, 9))
def test_exactly_what_came_more_than_once_is_found(hashes, run):
    class Small(Repeats):
        RUN = run

    repeats = Small()
    for hash_ in hashes:
        repeats.note([hash_])

    assert sorted(repeats.found()) == sorted(value for value, count in Counter(hashes).items() if count > 1)
