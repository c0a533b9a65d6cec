"""A job's folder: what was asked is written once, what happened is written once each."""

from pathlib import Path

import msgspec
import pytest

from airflow_provider_llmbatch.core.manifest import SCHEMA, Event, ShardState, name_of
from airflow_provider_llmbatch.core.shards import Shard
from airflow_provider_llmbatch.exceptions import ManifestError
from airflow_provider_llmbatch.storage.layout import JobFolder, Spec, job_uri

GOLDEN = Path(__file__).parents[1] / "golden" / "manifest" / f"schema-{SCHEMA}"
SPEC = msgspec.json.decode((GOLDEN / "job.json").read_bytes(), type=Spec)
INTENT = Event(schema=SCHEMA, job=SPEC.job_id, kind="intent", round=1, shard=0, at=1000.0)


@pytest.fixture
def folder(base_uri):
    return JobFolder(base_uri)


# -- job.json -----------------------------------------------------------------------------------------------------


def test_what_was_asked_is_read_back(base_uri, folder):
    assert folder.spec() is None
    assert folder.begin(SPEC) == SPEC
    assert JobFolder(base_uri).spec() == SPEC


def test_of_two_attempts_that_begin_the_first_ones_word_holds(folder):
    folder.begin(SPEC)

    assert folder.begin(msgspec.structs.replace(SPEC, fingerprint="another")) == SPEC


def test_what_was_asked_is_written_as_it_always_was():
    assert msgspec.json.encode(SPEC) == (GOLDEN / "job.json").read_bytes()


@pytest.mark.parametrize("document", [b"", b"{", b"{}", b"[]", msgspec.json.encode(SPEC)[:-20]])
def test_a_damaged_job_is_refused_and_never_begun_again(folder, document):
    folder.files.create("job.json", document)

    with pytest.raises(ManifestError, match=r"job.json' is there but cannot be read.*Nothing was submitted"):
        folder.spec()
    with pytest.raises(ManifestError):
        folder.begin(SPEC)


def test_a_job_of_a_later_schema_is_refused_with_what_to_do(folder):
    folder.files.create("job.json", msgspec.json.encode(msgspec.structs.replace(SPEC, schema=SCHEMA + 1)))

    with pytest.raises(ManifestError, match=rf"has schema {SCHEMA + 1}; this release reads up to {SCHEMA}.*Install"):
        folder.spec()


# -- events -------------------------------------------------------------------------------------------------------


def test_an_event_is_written_once_and_the_first_one_holds(base_uri, folder):
    later = msgspec.structs.replace(INTENT, at=2000.0)

    assert [folder.record(INTENT), folder.record(later)] == [True, False]
    assert JobFolder(base_uri).events(SPEC.job_id) == [INTENT]


def test_other_files_among_the_events_are_left_alone(folder):
    folder.record(INTENT)
    folder.files.create("events/notes.txt", b"restored from the backup of Sunday")

    assert folder.events(SPEC.job_id) == [INTENT]


def test_a_job_that_never_began_has_no_events(folder):
    assert folder.events(SPEC.job_id) == []


def test_a_damaged_event_is_refused_and_never_taken_for_absent(folder):
    folder.files.create(f"events/{name_of(INTENT)}", b'{"schema":1,')

    with pytest.raises(ManifestError, match="cannot be read"):
        folder.events(SPEC.job_id)


def test_what_another_job_left_in_the_folder_is_not_ours(folder):
    folder.record(msgspec.structs.replace(INTENT, job="9876543210"))

    assert folder.events(SPEC.job_id) == []


def test_an_event_that_vanishes_while_it_is_read_is_an_error(store, monkeypatch):
    folder = JobFolder("memory://bucket/base")
    folder.record(INTENT)
    monkeypatch.setattr(store, "cat_file", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError()))

    with pytest.raises(ManifestError, match=r"vanished while it was read.*Nothing was submitted"):
        folder.events(SPEC.job_id)


def test_the_golden_job_is_read_whole():
    folder = JobFolder(f"file://{GOLDEN}")

    assert folder.spec().job_id == "8023917979"
    assert len(folder.events(SPEC.job_id)) == len(list((GOLDEN / "events").iterdir()))


# -- a new question -------------------------------------------------------------------------------------------------


def test_a_superseded_job_lies_beside_the_new_one(base_uri):
    folder = JobFolder(f"{base_uri}/dag/run/label")
    folder.begin(SPEC)
    folder.record(INTENT)

    moved = folder.supersede()

    assert moved == f"{base_uri}/dag/run/superseded/label/0000"
    assert (folder.spec(), folder.events(SPEC.job_id)) == (None, [])
    assert (JobFolder(moved).spec(), JobFolder(moved).events(SPEC.job_id)) == (SPEC, [INTENT])


def test_every_question_that_was_superseded_is_kept_and_counted(base_uri):
    folder = JobFolder(f"{base_uri}/dag/run/label")
    specs = [msgspec.structs.replace(SPEC, fingerprint=text) for text in ["first", "second", "first"]]
    for spec in specs:
        folder.begin(spec)
        folder.supersede()

    assert folder.superseded() == specs


def test_a_mapped_task_keeps_its_superseded_questions_apart(base_uri):
    first, second = (JobFolder(f"{base_uri}/dag/run/label/{index}") for index in range(2))
    first.begin(SPEC)

    first.supersede()

    assert (first.superseded(), second.superseded()) == ([SPEC], [])


# -- where it lies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "ids", "map_index", "uri"),
    [
        pytest.param(
            *("s3://lake/jobs", ("dag", "manual__2026-11-22T10:00:00+00:00", "group.ask"), -1),
            "s3://lake/jobs/dag/manual__2026-11-22T10:00:00+00:00/group.ask",
            id="usual",
        ),
        pytest.param("s3://lake/jobs/", ("d", "r", "t"), 12, "s3://lake/jobs/d/r/t/12", id="mapped"),
        pytest.param("s3://lake", ("d", "r", "t"), 0, "s3://lake/d/r/t/0", id="first-mapped"),
        pytest.param("/tmp/x", ("d", "a/b", "t"), -1, "/tmp/x/d/a%2Fb/t", id="slash"),
        pytest.param("/tmp/x", ("d", "a?b#c d", "t"), -1, "/tmp/x/d/a%3Fb%23c%20d/t", id="marks-and-blank"),
        pytest.param("/tmp/x", ("d", "a%2Fb", "t"), -1, "/tmp/x/d/a%252Fb/t", id="percent"),
        pytest.param("/tmp/x", ("..", ".", "t"), -1, "/tmp/x/%2E%2E/%2E/t", id="dots-do-not-climb"),
        pytest.param("/tmp/x", ("d", "größe", "t"), -1, "/tmp/x/d/gr%C3%B6%C3%9Fe/t", id="any-script"),
    ],
)
def test_job_uri(base, ids, map_index, uri):
    dag_id, run_id, task_id = ids

    assert job_uri(base, dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index) == uri


def test_a_job_whose_ids_need_quoting_is_found_again(base_uri):
    uri = job_uri(base_uri, dag_id="d", run_id="a/b?c#d e%20f:+~", task_id="größe", map_index=3)
    JobFolder(uri).begin(SPEC)

    assert JobFolder(uri).spec() == SPEC


def test_the_files_of_a_shard_are_named_by_round_and_number():
    shard = ShardState(2, Shard(number=7, count=1, bytes=1, sha256="", first=0, last=0), attempt=3)

    assert JobFolder.records_name(7) == "records/00007.jsonl"
    assert JobFolder.requests_name(shard) == "requests/r2-00007.jsonl"
    assert JobFolder.results_name(shard) == "results/r2-00007.jsonl"
