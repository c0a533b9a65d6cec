"""The example on a real Airflow: what is true in one process may not be true in five."""

import time

import pytest

pytestmark = pytest.mark.slow

DAG_ID = "example_label_docstrings"
VENDORS = ("openai", "anthropic")


@pytest.fixture(scope="module")
def watched(standalone, vendors):
    """Run the example; return the run, each task's states in order, and the pool while both waited.

    The batches end once both have been seen waiting, however long it takes until they do.
    """
    run_id = standalone.trigger(DAG_ID)
    seen: dict[str, list[str]] = {task_id: [] for task_id in VENDORS}
    slots = None
    deadline = time.monotonic() + 300
    while standalone.run_state(DAG_ID, run_id) in ("queued", "running") and time.monotonic() < deadline:
        states = standalone.states(DAG_ID, run_id)
        for task_id in VENDORS:
            if states[task_id] and seen[task_id][-1:] != [states[task_id]]:
                seen[task_id].append(states[task_id])
        if slots is None and all(states[task_id] == "deferred" for task_id in VENDORS):
            found = standalone.slots()
            if standalone.states(DAG_ID, run_id) == states:  # nothing moved while the slots were counted
                slots = found
                vendors.advance(90_000)
        time.sleep(0.1)
    for task_id, state in standalone.states(DAG_ID, run_id).items():
        if task_id in VENDORS and seen[task_id][-1:] != [state]:
            seen[task_id].append(state)
    return run_id, seen, slots


@pytest.mark.parametrize("task_id", VENDORS)
def test_a_task_runs_defers_resumes_and_succeeds(watched, task_id):
    _, seen, _ = watched

    assert [state for state in seen[task_id] if state in ("running", "deferred", "success", "failed")] == [
        "running",
        "deferred",
        "running",
        "success",
    ]


def test_no_worker_slot_is_held_while_the_vendors_work(watched):
    _, _, slots = watched

    assert (slots["running_slots"], slots["occupied_slots"], slots["deferred_slots"]) == (0, 0, 2)


@pytest.mark.parametrize("task_id", VENDORS)
def test_every_record_has_its_row(standalone, watched, task_id):
    run_id, _, _ = watched

    summary = standalone.result(DAG_ID, run_id, task_id)

    counts = summary["counts"]
    assert counts["total"] == standalone.result(DAG_ID, run_id, "collect") > 5_000
    assert sum(counts.values()) == 2 * counts["total"]
