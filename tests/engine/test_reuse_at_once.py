"""One store and many who use it: jobs at the same time, crashes, object storage, a large table."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from airflow_provider_llmbatch._compat import ObjectStoragePath
from airflow_provider_llmbatch.core.results import Result
from airflow_provider_llmbatch.core.reuse import UNKNOWN, stored_line
from airflow_provider_llmbatch.core.rows import Answer
from airflow_provider_llmbatch.engine import Done, advance
from airflow_provider_llmbatch.storage import segment as segments
from airflow_provider_llmbatch.storage.answers import Store, segment_name
from airflow_provider_llmbatch.storage.index import Kept, Stretch
from airflow_provider_llmbatch.storage.lookup import Lookup
from airflow_provider_llmbatch.storage.segment import Segment
from tests.bench import served
from tests.benchmarks.reuse import broken_promises, measured, table
from tests.engine.crash import crash_and_go_on
from tests.s3 import ROOT

SHARED, OWN = 30, 10


def job_of(bench, folder, store, texts):
    """Return how to begin the job that asks *texts*, or to go on with it."""
    folder.mkdir(exist_ok=True)
    source = folder / "in.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return lambda: bench.job(folder, str(source), prompt="Echo {{ record.text }}", plan={"reuse_uri": store})


@pytest.fixture(params=["file", "s3"])
def store(request, tmp_path):
    """The URI of a store on a disk, and of one on S3."""
    if request.param == "s3":
        request.getfixturevalue("s3")
        return f"{ROOT}/answers"
    return f"file://{tmp_path}/answers"


def test_tasks_that_share_a_store_at_once_corrupt_nothing(store, emulator, monkeypatch, tmp_path):
    """They all look into it before any has written, and all write at once; then every answer is found."""
    tasks = 6
    bench = served("openai", emulator, monkeypatch)
    texts = [[f"shared {n}" for n in range(SHARED)] + [f"of {task}: {n}" for n in range(OWN)] for task in range(tasks)]
    makes = [job_of(bench, tmp_path / f"task-{task}", store, texts[task]) for task in range(tasks)]
    for make in makes:
        advance(make())
    bench.finish()
    together = Barrier(tasks)

    def land(make):
        job = make()
        together.wait()
        return advance(job)

    with ThreadPoolExecutor(tasks) as pool:
        done = list(pool.map(land, makes))
    everything = sorted({text for some in texts for text in some})
    billed = emulator.bill()["total"]["requests_billed"]

    summary = bench.complete(job_of(bench, tmp_path / "after", store, everything))

    assert all(isinstance(outcome, Done) for outcome in done)
    assert [segment.fetch().head.answers for segment in Store(store).segments()] == [SHARED + OWN] * tasks
    assert summary["reused"]["rows"] == len(everything) == SHARED + tasks * OWN
    assert emulator.bill()["total"]["requests_billed"] == billed == tasks * (SHARED + OWN)
    rows = [json.loads(line) for line in (tmp_path / "after/out.jsonl").read_bytes().splitlines()]
    assert all(row["llm_output"].endswith(f"Echo {row['text']}") for row in rows)


def write_and_read(uri: str, number: int, together) -> str:
    """Write a segment while others do, and look for everything that is there, again and again."""
    digests = [(n + 1000 * (number % 3)).to_bytes(16, "little") for n in range(500)]
    answer = Answer(Result(status="succeeded", output=f"{number}"), 1, "batch_1", f"0a1b2c3d4e-1-{number}")
    name = segment_name(f"{number:010x}", 1_795_000_000, 1)
    facts = {"created_at": 1_795_000_000.0, "vendor": "openai", "model": "m"}
    kept_ones = [Kept(digest, stored_line(digest, answer), UNKNOWN) for digest in digests]
    store = Store(uri)
    together.wait()
    for _ in range(5):  # whoever tries again writes the same
        store.write(name, iter(kept_ones), **facts)
        for segment in Store(uri).segments():
            lookup = Lookup([segment])
            total = sum(found.total for found in lookup.read(lookup.locate(digests), digests))
            assert total in (0, len(digests)), segment.name
    return name


def test_processes_that_write_and_read_one_store_see_whole_segments_alone(tmp_path):
    workers = 4
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, spawn.Pool(workers) as pool:
        together = manager.Barrier(workers)
        calls = [(f"file://{tmp_path}/store", number, together) for number in range(workers)]
        names = pool.starmap(write_and_read, calls, chunksize=1)

    assert [segment.name for segment in Store(f"file://{tmp_path}/store").segments()] == sorted(names, reverse=True)


def test_on_s3_few_answers_are_read_by_ranges_and_the_index_once(s3, emulator, monkeypatch, tmp_path):
    bench = served("openai", emulator, monkeypatch)
    monkeypatch.setattr(segments, "GAP", 1000)
    texts = [f"text {n}" for n in range(100)]
    bench.complete(job_of(bench, tmp_path / "first", f"{ROOT}/answers", texts))
    before = len(s3.log("GET"))

    summary = bench.complete(job_of(bench, tmp_path / "second", f"{ROOT}/answers", [texts[3], texts[90]]))

    path = ObjectStoragePath(f"{ROOT}/answers/v1")
    reads = [entry["path"].rsplit(".", 1)[-1] for entry in s3.log("GET")[before:] if "/answers/v1/2" in entry["path"]]
    assert summary["reused"]["rows"] == 2
    assert sorted(reads) == ["index", "jsonl", "jsonl"]
    assert sorted(name.rsplit(".", 1)[-1] for name in path.fs.ls(path.path, detail=False)) == ["index", "jsonl"]


@pytest.mark.slow
def test_a_crash_anywhere_pays_once_and_keeps_what_was_paid(scene):
    """As every job, and with a store that has some of the answers: the second run of an earlier day."""
    shared = scene.folder / "shared"
    job = scene.job
    scene.job = lambda: with_store(job(), f"file://{scene.here}/store")
    scene.fresh()
    scene.run()
    shutil.copytree(scene.here / "store", shared)
    lines = (scene.folder / "in.jsonl").read_text().splitlines(keepends=True)
    lines[3::4] = [line.replace('"text ', '"another text ') for line in lines[3::4]]
    (scene.folder / "in.jsonl").write_text("".join(lines))
    scene.faults = [{"calls": "*.batches.create", "row": "missing", "index": [7, 19], "once": True}]
    scene.bench.connect(max_requests=3)
    fresh = scene.fresh

    def another_day():
        fresh()
        shutil.copytree(shared, scene.here / "store")

    scene.fresh = another_day
    scene.fresh()
    scene.counter.arm(None)
    undisturbed = scene.run()
    bought, points = scene.paid(), list(scene.counter.passed)
    stored = kept(scene)
    assert sum(count for count, _ in bought) == len(lines[3::4]) + 2

    def bill():
        assert kept(scene) == stored
        return scene.paid()

    crash_and_go_on(scene, enumerate(points), undisturbed, bought, bill)
    assert any("reused.jsonl" in point for point in points)
    assert any(".index" in point for point in points)
    print(f"\n{len(points)} crashes ({scene.bench.vendor}, {scene.shape} operators), with a store of answers")


def with_store(job, uri):
    job.plan = replace(job.plan, reuse_uri=uri)
    return job


def kept(scene):
    """What the store can be asked for: digests, answers and costs, without the names of jobs, batches and segments."""
    found = {}
    for path in sorted((scene.here / "store/v1").glob("*.jsonl")):
        assert path.with_suffix(".index").exists()
        kept_ones = [json.loads(line) for line in path.read_bytes().splitlines()]
        (run,) = Segment(Store(f"file://{scene.here}/store").folder, path.stem).located([Stretch(0, len(kept_ones), 0)])
        for answer, cost in zip(kept_ones, run.costs, strict=True):
            found[answer["digest"]] = (answer["llm_output"], cost)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_a_hundred_thousand_rows_of_which_a_thousand_changed(vendor, capsys):
    facts = measured(vendor, 100_000)

    with capsys.disabled():
        print(f"\n{vendor}\n{table(facts)}")
    assert broken_promises(facts, 100_000) == []
