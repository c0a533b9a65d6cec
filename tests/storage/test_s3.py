"""The same promises on a real S3 API: every call here leaves through s3fs and is in the server's log."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from threading import Barrier

import pytest

from airflow_provider_llmbatch._compat import ObjectStoragePath
from airflow_provider_llmbatch.core.requests import Question
from airflow_provider_llmbatch.engine.begin import Identity, begin, resume
from airflow_provider_llmbatch.engine.job import Plan, Terms
from airflow_provider_llmbatch.exceptions import ManifestError, OutputError
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from airflow_provider_llmbatch.sources import open_source
from airflow_provider_llmbatch.storage.folder import Folder, open_folder
from airflow_provider_llmbatch.storage.layout import JobFolder
from airflow_provider_llmbatch.storage.tables import check_output
from airflow_provider_llmbatch.vendors import load_hook
from tests.engine.conftest import Scene, scene, vendor  # noqa: F401 - the fixtures
from tests.engine.crash import crash_and_go_on, install
from tests.operators.conftest import context
from tests.s3 import BUCKET, ROOT

NAME = "events/r1-00000.intent.json"
PART = 50 << 20
"""Bytes of one part of a large upload, and half of what s3fs sends in one piece."""


@pytest.fixture
def folder(s3):
    return open_folder(f"{ROOT}/base/job")


def put(name, body):
    path = ObjectStoragePath(f"{ROOT}/{name}")
    path.fs.pipe_file(path.path, body)
    return f"{ROOT}/{name}"


def get(name):
    path = ObjectStoragePath(f"{ROOT}/{name}")
    return path.fs.cat_file(path.path)


def objects():
    """Return every object in the bucket, as another process sees it."""
    fs = ObjectStoragePath(ROOT).fs
    fs.invalidate_cache()
    return sorted(name.removeprefix(f"{BUCKET}/") for name in fs.find(BUCKET))


# -- one document, one writer -----------------------------------------------------------------------------------------


def test_a_document_is_one_put_with_the_condition_that_there_is_none(folder, s3):
    assert folder.create(NAME, b"first") is True
    assert folder.create(NAME, b"second") is False
    assert folder.read(NAME) == b"first"

    puts = s3.log("PUT")
    assert {(entry["path"], entry["condition"]) for entry in puts} == {(f"/{BUCKET}/base/job/{NAME}", "*")}
    assert [entry["status"] for entry in puts] == [200, 412, 412]  # the second one asks the store to prove itself


def test_a_piece_of_a_file_is_one_get_of_that_piece(folder, s3):
    folder.create(NAME, b"0123456789")

    assert folder.piece(NAME, 7, 100) == b"789"
    assert [entry["path"] for entry in s3.log("GET")].count(f"/{BUCKET}/base/job/{NAME}") == 1


def test_of_many_writers_at_once_exactly_one_wins(s3):
    writers = 8
    together = Barrier(writers)

    def write(number):
        mine = open_folder(f"{ROOT}/base/job")
        together.wait()
        return mine.create(NAME, str(number).encode())

    with ThreadPoolExecutor(writers) as pool:
        won = list(pool.map(write, range(writers)))

    assert won.count(True) == 1
    assert open_folder(f"{ROOT}/base/job").read(NAME) == str(won.index(True)).encode()
    assert [entry["status"] for entry in s3.log("PUT")].count(200) == 1
    assert all(entry["condition"] == "*" for entry in s3.log("PUT"))


@pytest.mark.parametrize(
    "habit",
    [
        pytest.param("terse", id="the-refusal-names-no-condition"),
        pytest.param("conflict", id="409-while-another-write-is-under-way"),
    ],
)
def test_a_store_with_words_of_its_own_still_keeps_the_first_document(folder, s3, habit):
    s3.control("habit", habit)

    assert [folder.create(NAME, b"first"), folder.create(NAME, b"second")] == [True, False]
    assert folder.read(NAME) == b"first"


def test_a_write_whose_answer_was_lost_is_not_taken_for_our_own(folder, s3):
    """The client repeats it and is refused. Nobody can tell whose the document is: the caller looks first."""
    folder.create("job.json", b"")
    s3.control("habit", "forget")

    assert folder.create(NAME, b"first") is False
    assert folder.read(NAME) == b"first"


@pytest.mark.parametrize("habit", ["ignore", "refuse"])
def test_without_conditional_writes_names_are_looked_up_first_and_the_log_says_so(folder, s3, habit, caplog):
    s3.control("habit", habit)

    assert [folder.create(NAME, b"first"), folder.create(NAME, b"second")] == [True, False]
    assert open_folder(folder.uri).create(NAME, b"of another process") is False
    assert folder.read(NAME) == b"first"
    assert caplog.text.count("the storage ignores conditional writes") == 1


# -- what is there, and what is not -----------------------------------------------------------------------------------


def test_what_was_written_is_listed_and_read_at_once_by_another_process(folder, s3):
    other = open_folder(folder.uri)
    assert (other.names("events"), other.read(NAME), other.exists(NAME)) == ([], None, False)

    folder.create(NAME, b"first")

    assert (other.names("events"), other.read(NAME), other.exists(NAME)) == ([NAME.split("/")[1]], b"first", True)
    folder.remove(NAME)
    assert (other.names("events"), other.read(NAME), other.exists(NAME)) == ([], None, False)


@pytest.mark.slow
def test_more_names_than_one_list_call_returns_are_all_there(folder, s3):
    wanted = [f"r1-{number:05}.intent.json" for number in range(1_005)]
    folder._root.fs.pipe({f"{BUCKET}/base/job/events/{name}": b"{}" for name in wanted})

    assert folder.names("events") == wanted


def test_several_documents_are_read_at_once_and_one_that_is_not_there_is_none(folder, s3):
    names = [f"events/{number}" for number in range(12)]
    for name in names:
        folder.create(name, name.encode())

    found = folder.read_all([*names, NAME, names[3]])

    assert found == [*(name.encode() for name in names), None, names[3].encode()]
    assert folder.read_all([]) == []


@pytest.mark.parametrize(
    "look",
    [lambda folder: folder.read_all([NAME]), lambda folder: folder.read(NAME), lambda folder: folder.names("events")],
)
def test_what_may_not_be_read_is_not_taken_for_absent(folder, s3, look):
    s3.control("habit", "no_reads")

    with pytest.raises(ManifestError, match=r"cannot be read \(PermissionError.* Nothing was submitted"):
        look(folder)


def test_a_bucket_that_is_not_there_takes_no_document(s3):
    with pytest.raises(FileNotFoundError):
        open_folder("s3://aws_default@bucket-of-nobody/job").create("job.json", b"")


# -- landing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 11, 2 * PART + 11], ids=["empty", "small", "in-parts"])
def test_a_file_appears_when_it_is_whole(folder, s3, size):
    with folder.landing("results/a.jsonl") as path:
        with path.open("wb") as file:
            file.truncate(size)
        assert objects() == []

    assert objects() == ["base/job/results/a.jsonl"]
    assert folder.local("results/a.jsonl").stat().st_size == size
    assert not path.exists()
    assert any("uploadId" in entry["query"] for entry in s3.log("PUT")) == (size > PART)


def test_a_file_that_was_not_finished_leaves_nothing(folder, s3):
    with pytest.raises(KeyboardInterrupt), folder.landing("results/a.jsonl") as path:  # noqa: PT012
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    assert objects() == []
    assert s3.log("PUT") == []
    assert not path.exists()


def test_a_large_upload_that_fails_is_aborted_and_leaves_no_part(folder, s3):
    s3.control("habit", "no_parts")

    with pytest.raises(OSError, match="as told"), folder.landing("results/a.jsonl") as path:  # noqa: PT012
        path.touch()
        os.truncate(path, 2 * PART + 11)

    assert objects() == []
    assert folder._root.fs.list_multipart_uploads(BUCKET) == []
    assert not path.exists()


# -- a job moves aside ------------------------------------------------------------------------------------------------


def test_a_job_moves_aside_with_everything(folder, s3):
    names = ["job.json", NAME, "results/a.jsonl"]
    for name in names:
        folder.create(name, name.encode())

    folder.move(f"{ROOT}/base/superseded/job/0000", last="job.json")

    assert objects() == sorted(f"base/superseded/job/0000/{name}" for name in names)
    assert get(f"base/superseded/job/0000/{NAME}") == NAME.encode()


def test_a_job_that_may_not_be_deleted_is_not_taken_for_moved(folder, s3):
    """S3 answers 200 to a deletion of many, and names those that failed inside."""
    for name in ["job.json", NAME]:
        folder.create(name, name.encode())
    s3.control("habit", "no_deletes")

    with pytest.raises(ManifestError, match=r"cannot be deleted\. Nothing was submitted"):
        folder.move(f"{ROOT}/base/superseded/job/0000", last="job.json")

    assert folder.read("job.json") == b"job.json"


def test_an_output_that_may_not_be_written_is_refused_before_anything_is_sent(s3):
    with pytest.raises(OutputError, match=r"cannot be written .* Nothing was sent"):
        check_output("s3://aws_default@bucket-of-nobody/out.jsonl")


# -- the whole way -----------------------------------------------------------------------------------------------------


class S3Scene(Scene):
    """A job whose source, folder and output are in the bucket."""

    def job(self):
        hook = load_hook(self.bench.vendor, None)
        question = Question(model=self.bench.model, prompt="Echo {{ record.text }}")
        return begin(
            JobFolder(f"{ROOT}/{self.attempt}/job"),
            Identity(dag_id="dag", run_id="run", task_id="ask"),
            hook,
            Plan(question=question, source=open_source(f"{ROOT}/in.jsonl")),
            Terms(output_uri=f"{ROOT}/{self.attempt}/out.jsonl"),
            clock=self.bench.clock,
            sleep=self.bench.clock.sleep,
        )

    def run(self):
        self._complete(self.job)
        return get(f"{self.attempt}/out.jsonl")


@pytest.fixture
def cloud(s3, scene, monkeypatch):  # noqa: F811
    put("in.jsonl", (scene.folder / "in.jsonl").read_bytes())
    found = S3Scene(**{field.name: getattr(scene, field.name) for field in fields(scene)})
    found.counter = install(monkeypatch, Folder)
    return found


@pytest.mark.parametrize("scene", ["one"], indirect=True)
def test_a_job_with_everything_on_s3_writes_the_rows_that_it_writes_on_disk(cloud, scene):  # noqa: F811
    cloud.fresh()
    on_s3 = cloud.run()
    scene.fresh()

    assert rows(on_s3) == rows(scene.run())


def rows(output):
    """Return the rows without the ids that follow from where the source lies."""
    table = [json.loads(line) for line in output.splitlines()]
    return [{name: row[name] for name in row.keys() - {"llm_custom_id", "llm_batch_id"}} for row in table]


@pytest.mark.parametrize("scene", ["one"], indirect=True)
def test_the_operator_takes_source_folder_and_output_from_s3(cloud, s3):
    cloud.emulator.set_options(batch_seconds=240)  # 0.2 s of wall time
    operator = LLMBatchJobOperator(
        task_id="label",
        model=f"{cloud.bench.vendor}:{cloud.bench.model}",
        source=f"{ROOT}/in.jsonl",
        prompt="Echo {{ record.text }}",
        base_uri=f"{ROOT}/llmbatch",
        output_uri=f"{ROOT}/labels.csv",
        poll_interval=0.5,
        deferrable=False,
    )

    summary = operator.execute(context())

    assert summary["job_uri"] == f"{ROOT}/llmbatch/reviews/manual__2026-11-22/label"
    assert summary["counts"]["succeeded"] == 20
    assert get("labels.csv").count(b"\n") == 21
    events = [entry for entry in s3.log("PUT") if "/events/" in entry["path"]]
    assert events
    assert all(entry["condition"] == "*" for entry in events)
    assert operator.execute(context(try_number=2))["batch_ids"] == summary["batch_ids"]


@pytest.mark.parametrize("scene", ["one"], indirect=True)
def test_two_live_attempts_on_s3_send_everything_once(cloud):
    cloud.fresh()
    undisturbed, paid = cloud.run(), cloud.paid()
    cloud.fresh()
    cloud.emulator.fault("*.batches.create", hang=0.3)

    with ThreadPoolExecutor(2) as two:
        list(two.map(lambda _: cloud.submit(), range(2)))

    assert (cloud.run(), cloud.paid()) == (undisturbed, paid)


@pytest.mark.parametrize("scene", ["one"], indirect=True)
def test_a_move_that_was_cut_short_is_completed_and_never_gone_on_with(cloud, s3):
    """Half of what happened is gone: going on from the rest would pay for it again."""
    cloud.fresh()
    cloud.submit()
    uri = cloud.job().folder.uri
    s3.control("habit", "no_deletes")
    with pytest.raises(ManifestError, match="cannot be deleted"):
        cloud.job().folder.supersede()
    s3.control("habit", "none")
    open_folder(uri).remove("events/r1-00000.submitted.json")

    with pytest.raises(ManifestError, match="is being moved aside"):
        resume(uri)
    old = {batch["id"] for batch in cloud.emulator.bill()["batches"]}
    cloud.run()

    assert not old & set(cloud.job().refresh().batch_ids)  # the question is asked anew, under another mark
    assert len(open_folder(f"{ROOT}/{cloud.attempt}/superseded/job").names("")) == 2


POINTS = 8
"""Crashes per vendor; every one takes seconds here. All of them are made on disk, in tests/engine."""


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["one"], indirect=True)
def test_a_crash_on_s3_is_paid_for_once_and_loses_nothing(cloud):
    cloud.fresh()
    cloud.counter.arm(None)
    undisturbed, paid, points = cloud.run(), cloud.paid(), list(cloud.counter.passed)
    assert len(paid) >= 4  # three shards, and a second round

    chosen = [(at, points[at]) for at in range(0, len(points), -(-len(points) // POINTS))]
    crash_and_go_on(cloud, chosen, undisturbed, paid, cloud.paid)
    print(f"\n{POINTS} crashes of {len(points)} points on S3 ({cloud.bench.vendor}): one bill, one output")
