"""Six files at once on a real Airflow with local workers: what mapped tasks share, and what they do not."""

import json
from collections import Counter
from itertools import combinations

import pytest

from airflow_provider_llmbatch.emulator import Emulator
from tests.system.conftest import ROOT, running_airflow, settings, wait_for

pytestmark = pytest.mark.slow

DAG_ID = "example_many_files"
FILES = 6
LOOKS = 5
"""How many further looks are waited for once all tasks wait."""


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Run the example with batches that end only when all tasks have waited together for a while."""
    home = tmp_path_factory.mktemp("airflow")
    with Emulator(speed=1, batch_seconds=80_000) as emulator:
        env = settings(home, emulator, ROOT / "example_dags") | {"AIRFLOW__CORE__PARALLELISM": str(FILES)}
        with running_airflow(home, env) as airflow:
            run_id = airflow.trigger(DAG_ID)

            def states():
                run = airflow.call("GET", f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances?limit=50")
                return [task["state"] for task in run["task_instances"] if task["task_id"] == "label"]

            wait_for("six deferred tasks", lambda: states() == ["deferred"] * FILES, seconds=300)
            slots = airflow.slots()
            before = emulator.calls()
            wait_for("looks", lambda: len(emulator.calls()) >= len(before) + LOOKS)
            looks = [call["operation"] for call in emulator.calls()[len(before) :]]
            assert states() == ["deferred"] * FILES
            emulator.advance(90_000)
            wait_for("end of the run", lambda: airflow.run_state(DAG_ID, run_id) in ("success", "failed"))
            found = {
                "state": airflow.run_state(DAG_ID, run_id),
                "slots": slots,
                "looks": looks,
                "calls": Counter(call["operation"] for call in emulator.calls()),
                "bill": emulator.bill(),
                "answers": airflow.result(DAG_ID, run_id, "count"),
            }
    return home, home / "llmbatch" / DAG_ID / run_id / "label", found


def test_all_wait_at_once_and_hold_no_worker(watched):
    _, _, found = watched

    assert found["state"] == "success"
    assert (found["slots"]["occupied_slots"], found["slots"]["deferred_slots"]) == (0, FILES)


def test_one_list_call_answers_for_all_who_wait(watched, capsys):
    """A poller that watches one batch asks for it by itself: so none of them has a poller of its own."""
    _, _, found = watched

    with capsys.disabled():
        print(f"\n  {FILES} tasks waited; looks while all did: {Counter(found['looks'])}; the run: {found['calls']}")
    assert set(found["looks"]) == {"openai.batches.list"}


def test_each_file_is_paid_once_and_has_all_its_rows(watched):
    home, _, found = watched
    sources, outputs = (sorted((home / "llmbatch-examples" / name).glob("*.jsonl")) for name in ("kinds", "programs"))

    assert [path.name for path in outputs] == [f"{index:05}.jsonl" for index in range(FILES)]
    for source, output in zip(sources, outputs, strict=True):
        assert [row["suffix"] for row in read(output)] == [record["suffix"] for record in read(source)]
        assert {row["llm_status"] for row in read(output)} == {"succeeded"}
    records = sum(len(read(source)) for source in sources)
    batches = found["bill"]["batches"]
    assert len(batches) == len({batch["sha256"] for batch in batches}) == FILES
    assert found["bill"]["total"]["requests_billed"] == records == sum(found["answers"].values())


def test_no_two_share_a_folder_a_job_or_a_batch(watched):
    _, label, _ = watched
    jobs = [json.loads((label / str(index) / "job.json").read_text()) for index in range(FILES)]
    batches = [set(json.loads((label / str(n) / "summary.json").read_text())["batch_ids"]) for n in range(FILES)]
    asked = [
        {request["custom_id"].partition("-")[0] for path in label.glob(f"{index}/requests/*") for request in read(path)}
        for index in range(FILES)
    ]

    assert sorted(path.name for path in label.iterdir()) == [*map(str, range(FILES)), "outputs"]
    assert [job["map_index"] for job in jobs] == list(range(FILES))
    assert asked == [{job["job_id"]} for job in jobs]
    assert not any(one & other for one, other in combinations(asked + batches, 2))
