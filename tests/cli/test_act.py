"""``cancel``, ``reset`` and ``sweep``: what they do at the vendor, and what it costs. The bill is the judge."""

from __future__ import annotations

import io
import json

import pytest

from tests.cli.conftest import RECORDS

FOREVER = 10_000_000


@pytest.fixture
def says(monkeypatch):
    """Let somebody answer the next question."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def cancels(emulator) -> int:
    return sum(count for name, count in emulator.counts().items() if name.endswith("batches.cancel"))


def lost(emulator) -> None:
    """Let the vendor accept the next batch, lose the answer, and not answer the search for it either."""
    emulator.fault("*.batches.create", reset_after=True, times=1)
    emulator.fault("*.batches.list", status=503, times=3, skip=1)


def test_cancel_asks_for_every_open_batch_and_says_what_is_kept(run, submit, emulator):
    uri = submit()

    told = run("cancel", uri)

    assert (told.code, told.err) == (0, "")
    assert told.out.count("cancel asked for") == 2
    assert "What had finished is billed and kept" in told.out
    assert cancels(emulator) == 2


def test_cancel_of_what_is_over_changes_nothing_and_says_so(run, submit, emulator, vendor):
    uri = submit()
    run("cancel", uri)
    vendor.finish()

    told = run("cancel", uri)

    assert (told.code, told.err) == (0, "")
    assert "nothing was cancelled" in told.out
    assert cancels(emulator) == 2


def test_reset_refuses_while_batches_run(run, submit, emulator, base):
    uri = submit()

    told = run("reset", uri, "--yes")

    assert told.code == 1
    assert "2 shards run at the vendor, or may (r1-00000, r1-00001)" in told.err
    assert run("jobs", base).out.count(uri) == 1
    assert cancels(emulator) == 0


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_reset_does_nothing_without_a_yes(run, submit, emulator, base, says, answer):
    uri = submit()
    says(answer)

    told = run("reset", uri, "--cancel")

    assert told.code == 1
    assert told.out.endswith("Nothing was reset.\n")
    assert run("jobs", base).out.count(uri) == 1
    assert cancels(emulator) == 0


def test_reset_tells_the_price_moves_the_job_aside_and_the_same_question_is_paid_anew(
    run, submit, emulator, base, says
):
    uri = submit()
    says("y\n")

    told = run("reset", uri, "--cancel")

    assert told.code == 0
    assert "20 requests were sent in 2 batches. After a reset every record is asked, and paid, again" in told.out
    assert f"{base}/reviews/manual__2026-11-22/superseded/label/0000" in told.out
    assert run("jobs", base).out.startswith("No jobs below")
    assert submit() == uri
    bill = emulator.bill()["total"]
    assert (bill["batches"], bill["requests"]) == (4, 2 * len(RECORDS))


def test_reset_says_that_kept_answers_are_not_asked_again(run, submit, tmp_path):
    uri = submit(reuse_uri=f"file://{tmp_path}/answers")

    told = run("reset", uri, "--cancel", "--yes")

    assert f"But for answers that are kept in file://{tmp_path}/answers" in told.out


def test_reset_of_a_job_that_sent_nothing_costs_nothing(run, submit, emulator):
    emulator.fault("*.batches.create", status=400, code="invalid_request_error")
    uri = submit(errors=True)

    told = run("reset", uri, "--yes")

    assert told.code == 0
    assert "a reset costs nothing" in told.out
    assert emulator.bill()["total"]["batches"] == 0


def test_reset_cancels_a_batch_whose_answer_was_lost_where_the_vendor_can_tell(run, submit, emulator, vendor):
    lost(emulator)
    uri = submit()
    emulator.clear_faults()
    known = len(json.loads(run("show", uri, "--json").out)["rounds"][0]["shards"])

    told = run("reset", uri, "--cancel", "--yes")

    assert known == 2
    if vendor.vendor == "openai":
        assert (told.code, cancels(emulator)) == (0, 2)
    else:  # nothing but results can tell, so it is left alone, and named
        assert (told.code, cancels(emulator)) == (1, 1)
        assert "may be ours" in told.err


def test_sweep_finds_nothing_while_every_batch_has_its_job(run, submit, base, vendor):
    submit()

    told = run("sweep", "--vendor", vendor.vendor, base)

    assert (told.code, told.err) == (0, "")
    assert "without a job" in told.out


def test_sweep_finds_and_stops_the_batches_of_a_job_whose_folder_is_gone(run, submit, base, emulator, vendor, tmp_path):
    kept, gone = submit("kept"), submit("gone")
    (tmp_path / "jobs/reviews/manual__2026-11-22/gone").rename(tmp_path / "elsewhere")

    told = run("sweep", "--vendor", vendor.vendor, base, "--cancel", "--json")

    found = [json.loads(line) for line in told.out.splitlines()]
    assert len(found) == 2
    assert kept != gone
    if vendor.vendor == "openai":
        assert cancels(emulator) == 2
        assert {fact["shard"] for fact in found} == {"r1-00000", "r1-00001"}
    else:  # a running batch cannot be told from anybody else's: it is never cancelled
        assert cancels(emulator) == 0
        assert "2 running batches may be anybody's" in told.err


def test_sweep_proves_an_ended_batch_by_its_results_and_leaves_others_out(
    run, submit, base, emulator, vendor, tmp_path
):
    emulator.set_options(batch_seconds=60)
    submit("gone")
    (tmp_path / "jobs/reviews").rename(tmp_path / "elsewhere")
    vendor.finish()

    told = run("sweep", "--vendor", vendor.vendor, base, "--json")

    found = [json.loads(line) for line in told.out.splitlines()]
    job_id = json.loads((tmp_path / "elsewhere/manual__2026-11-22/gone/job.json").read_bytes())["job_id"]
    assert (told.code, told.err) == (0, "")
    assert [(fact["job_id"], fact["status"]) for fact in found] == [(job_id, "completed")] * 2


def test_sweep_leaves_a_batch_to_the_shard_that_still_looks_for_it(run, submit, base, emulator, vendor):
    lost(emulator)
    submit()
    emulator.clear_faults()

    told = run("sweep", "--vendor", vendor.vendor, base, "--cancel")

    assert cancels(emulator) == 0
    if vendor.vendor == "openai":
        assert "without a job" in told.out
    else:
        assert "1 running batches may be anybody's" in told.err
