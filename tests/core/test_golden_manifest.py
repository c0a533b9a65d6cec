"""Documents of earlier schemas stay readable: a job outlives an upgrade.

The files in ``tests/golden/manifest`` are never changed. A new schema adds a folder; the old ones stay and are read.
"""

from pathlib import Path

import msgspec
import pytest

from airflow_provider_llmbatch.core.manifest import SCHEMA, Tally, fold, is_event, read_event

GOLDEN = Path(__file__).parents[1] / "golden" / "manifest"
EVENTS = sorted(GOLDEN.glob("schema-*/events/*.json"))


def named(path):
    return f"{path.parts[-3]}/{path.name}"


def test_there_is_a_golden_job_of_every_schema():
    assert {path.name for path in GOLDEN.iterdir()} == {f"schema-{number}" for number in range(1, SCHEMA + 1)}


@pytest.mark.parametrize("path", EVENTS, ids=named)
def test_a_golden_event_is_known_and_readable(path):
    assert is_event(path.name)
    assert read_event(path.name, path.read_bytes()).at > 1_795_000_000


@pytest.mark.parametrize("path", [path for path in EVENTS if f"schema-{SCHEMA}" in path.parts], ids=named)
def test_an_event_of_todays_schema_is_written_as_it_always_was(path):
    document = path.read_bytes()

    assert msgspec.json.encode(read_event(path.name, document)) == document


@pytest.mark.parametrize("schema", range(1, SCHEMA + 1))
def test_the_golden_job_stands_where_it_stood(schema):
    manifest = fold(read_event(path.name, path.read_bytes()) for path in EVENTS if f"schema-{schema}" in path.parts)

    first, second, third = manifest.rounds
    collected, put_back = first.shards
    assert [round_.number for round_ in manifest.rounds] == [1, 2, 3]
    assert first.prepared.columns == ["text", "größe"]
    assert (manifest.records, first.prepared.twins, first.is_tidied) == (6, 1, True)
    assert (manifest.reopened, manifest.base) == ({2: "shop/scheduled/again/-1"}, 2)
    assert (collected.phase, collected.batch_id, collected.submitted_at) == ("collected", "batch_6a001", 1795341602.75)
    assert collected.tally == Tally(
        statuses={"succeeded": 2, "errored": 1}, stops={"insufficient_quota": 1}, damaged=1, duplicated=2, foreign=3
    )
    assert collected.batch.files == {"input": "file-AAAA1111", "output": "file-OUT1", "error": "file-ERR1"}
    assert (put_back.phase, put_back.attempt, put_back.not_before) == ("ready", 3, 1795345263.0)
    assert [(part.name, part.phase, part.limit) for part in third.shards] == [
        ("r3-00000-0-1", "submitted", 90_000),
        ("r3-00000-2-2", "ready", 90_000),
    ]
    assert (second.shards[0].phase, second.shards[0].shard.first, second.shards[0].shard.last) == ("ready", 2, 2)
