"""A crash anywhere, then a retry: one paid batch per shard and round, no row lost, the same output bytes.

The emulator's bill is the judge.
"""

from __future__ import annotations

from importlib import import_module

import pytest

from airflow_provider_llmbatch.engine import expect
from tests.engine.crash import crash_and_go_on


@pytest.mark.slow
def test_a_crash_anywhere_is_paid_for_once_and_loses_nothing(scene, monkeypatch):
    children = {"one": 0, "three": 2}[scene.shape]  # results are read here, or by children: of either each once
    collect = import_module("airflow_provider_llmbatch.engine.collect")
    monkeypatch.setattr(collect, "helpers", lambda: children)
    monkeypatch.setattr(collect, "LARGE", 0)
    scene.fresh()
    scene.counter.arm(None)
    undisturbed = scene.run()
    paid, points = scene.paid(), list(scene.counter.passed)
    assert len(paid) >= 4  # three shards, and a second round

    crash_and_go_on(scene, enumerate(points), undisturbed, paid, scene.paid)
    print(
        f"\n{len(points)} crashes ({scene.bench.vendor}, {scene.shape} operators, {children} children): "
        f"{len(paid)} batches paid each time, outputs identical"
    )


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["one"], indirect=True)
def test_a_cap_that_just_admits_the_job_admits_it_after_any_crash(scene):
    """It has room for the second round only because the price of the first one takes the place of its estimate."""
    scene.fresh()
    scene.terms["max_cost_usd"] = expect(scene.job()).cost_usd.at_most
    scene.fresh()
    scene.counter.arm(None)
    undisturbed = scene.run()
    paid, points = scene.paid(), list(scene.counter.passed)
    assert len(paid) >= 4

    crash_and_go_on(scene, enumerate(points), undisturbed, paid, scene.paid)
    print(f"\n{len(points)} crashes under a cap ({scene.bench.vendor}): {len(paid)} batches paid each time")
