"""Every fault on every call that a job makes, alone and together with a crash: one bill, the same bytes."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_llmbatch.exceptions import LLMBatchError
from tests.engine.crash import Crash

FAULTS = {
    "reset-before": {"reset_before": True},
    "reset-after": {"reset_after": True},
    "timeout": {"hang": 3.0},
    "429-retry-after": {"status": 429, "retry_after": 1},
    "429": {"status": 429},
    "500": {"status": 500},
    "502": {"status": 502},
    "503": {"status": 503},
    "529": {"status": 529},
    "cut": {"cut": 30},
    "garbled": {"garble": True},
    "retrieve-lag": {"retrieve_lag": 1.0},
    "list-lag": {"list_lag": 1.0},
}


def operations(scene) -> list[str]:
    """Which calls an undisturbed run makes; nobody has to list them."""
    return sorted({call["operation"] for call in scene.emulator.calls()})


def persist(scene, tries: int = 4) -> bytes:
    """Run the task again after each of its failures, as Airflow does."""
    for attempt in itertools.count(1):
        try:
            return scene.run()
        except LLMBatchError:
            if attempt == tries:
                raise
    raise AssertionError("unreachable")


def disturb(scene, operation: str, fault: dict, crash_at: int | None = None) -> tuple[bytes, list[str]]:
    """Run with one fault on *operation*, killed at point *crash_at*; return the output and the points passed."""
    scene.fresh()
    scene.emulator.fault(operation, times=1, **fault)
    scene.counter.arm(crash_at)
    if crash_at is not None:
        with pytest.raises(Crash):
            persist(scene)
    scene.counter.at = None
    return persist(scene), list(scene.counter.passed)


def first_difference(points: list[str], others: list[str]) -> int:
    """Return where a disturbed run first passes another point than an undisturbed one."""
    return next((at for at, (a, b) in enumerate(zip(points, others, strict=False)) if a != b), len(points) // 2)


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["one"], indirect=True)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_on_any_call_with_and_without_a_crash_changes_neither_bill_nor_output(scene, fault):
    scene.bench.connect(max_requests=8, client_kwargs={"timeout": 1.5, "max_retries": 0})
    scene.fresh()
    scene.counter.arm(None)
    undisturbed, paid, points = scene.run(), scene.paid(), list(scene.counter.passed)

    for operation in operations(scene):
        output, passed = disturb(scene, operation, FAULTS[fault])
        assert scene.paid() == paid, f"{fault} on {operation}: another bill"
        assert output == undisturbed, f"{fault} on {operation}: another output"

        at = first_difference(passed, points)
        output, _ = disturb(scene, operation, FAULTS[fault], crash_at=at)
        assert scene.paid() == paid, f"{fault} on {operation}, crash after {passed[at]}: another bill"
        assert output == undisturbed, f"{fault} on {operation}, crash after {passed[at]}: another output"


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["one"], indirect=True)
def test_a_lost_answer_is_found_behind_six_hundred_newer_batches(scene):
    scene.fresh()
    scene.counter.arm(None)
    undisturbed, paid = scene.run(), scene.paid()
    scene.fresh()
    scene.emulator.fault("*.batches.create", reset_after=True, times=1)
    scene.counter.arm(None)
    scene.submit()
    foreign(scene, 600)

    output = scene.run()

    ours = [batch for batch in scene.paid() if batch in paid]
    assert ours == paid
    assert len(scene.paid()) == len(paid) + 600
    assert output == undisturbed


def foreign(scene, count: int) -> None:
    """Fill the account with batches of somebody else."""
    hook = scene.bench.hook()
    if scene.bench.vendor == "anthropic":
        body = {"model": scene.bench.model, "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
        for _ in range(count):
            hook.client.messages.batches.create(requests=[{"custom_id": "foreign-1", "params": body}])
        return
    body = {"model": "omni-moderation-latest", "input": "x"}
    line = json.dumps({"custom_id": "f", "method": "POST", "url": "/v1/moderations", "body": body}).encode()
    file_id = hook.client.files.create(file=("foreign.jsonl", line), purpose="batch").id
    for _ in range(count):
        hook.client.batches.create(input_file_id=file_id, endpoint="/v1/moderations", completion_window="24h")


@pytest.mark.parametrize("scene", ["one"], indirect=True)
def test_two_live_attempts_send_everything_once(scene):
    scene.fresh()
    scene.counter.arm(None)
    undisturbed, paid = scene.run(), scene.paid()
    scene.fresh()
    scene.counter.arm(None)
    scene.emulator.fault("*.batches.create", hang=0.3)

    with ThreadPoolExecutor(2) as two:
        list(two.map(lambda _: scene.submit(), range(2)))
    output = scene.run()

    assert scene.paid() == paid
    assert output == undisturbed
