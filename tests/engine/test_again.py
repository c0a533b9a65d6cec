"""What is asked again, and how: as it was, changed, with another model; or not at all. The bill is the judge."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_llmbatch.core.repairs import cut_middle
from airflow_provider_llmbatch.core.schemas import output_schema
from airflow_provider_llmbatch.engine.begin import reopen, resume
from airflow_provider_llmbatch.engine.job import Terms
from airflow_provider_llmbatch.exceptions import BudgetExhaustedError, CredentialError, IncompleteError, InputError
from tests.bench import Bench, served

RECORDS = [{"n": number, "text": f"text {number}"} for number in range(10)]
REVIEW = {
    "title": "Review",
    "type": "object",
    "properties": {"label": {"enum": ["good", "bad"]}, "score": {"type": "integer"}},
    "required": ["label", "score"],
    "additionalProperties": False,
}
OTHER = {"openai": "gpt-6-sol", "anthropic": "claude-sonnet-5-5"}


@pytest.fixture(params=["anthropic", "openai"])
def bench(request, emulator, monkeypatch) -> Bench:
    return served(request.param, emulator, monkeypatch)


@pytest.fixture
def run(bench, tmp_path):
    """Run a job over the records to its end; return its rows."""

    def run(records: list[dict[str, Any]] | None = None, **given: Any) -> list[dict[str, Any]]:
        question = {"prompt": "Echo {{ record.text }}"} | given
        run.summary = bench.complete(lambda: bench.job(tmp_path, records or RECORDS, **question))
        return [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]

    return run


def sent(folder, round_: int) -> list[dict[str, Any]]:
    """Return the bodies of one round's requests."""
    lines = [
        json.loads(line)
        for path in sorted(folder.glob(f"job/requests/r{round_}-*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]
    return [line.get("body") or line["params"] for line in lines]


def cap_in(body: dict[str, Any]) -> int:
    return next(body[name] for name in ("max_completion_tokens", "max_tokens", "max_output_tokens") if name in body)


# -- changed requests ------------------------------------------------------------------------------------------


def test_a_truncated_answer_is_asked_for_with_twice_the_tokens_until_it_is_whole(run, tmp_path, emulator):
    text = "a rather long text, " * 9
    table = run([{"text": text}, {"text": "short"}], max_tokens=16, terms={"max_rounds": 4})

    assert [row["llm_status"] for row in table] == ["succeeded", "succeeded"]
    assert [cap_in(sent(tmp_path, round_)[0]) for round_ in (1, 2, 3)] == [16, 32, 64]
    assert len(sent(tmp_path, 2)) == 1  # the short one was whole
    assert text.strip() in table[0]["llm_output"]
    assert table[0]["llm_output_tokens"] > 16 + 32  # every round's tokens are paid, and counted


def test_an_answer_that_stays_truncated_is_kept_and_called_so(run, emulator):
    with pytest.raises(IncompleteError, match="1 × truncated"):
        run([{"text": "a rather long text, " * 40}], max_tokens=8, terms={"max_rounds": 2})


def test_a_bound_is_not_raised_above_what_the_model_can_answer(bench, run, tmp_path, monkeypatch):
    def largest(self, model):
        yield from ()
        return 24

    hook = type(bench.hook())
    monkeypatch.setattr(hook, "largest_answer", largest)
    run([{"text": "a rather long text, " * 40}, {"text": "x"}], max_tokens=16, terms={"max_rounds": 4})

    assert [cap_in(body) for body in sent(tmp_path, 2)] == [24]
    assert sent(tmp_path, 3) == []


@pytest.mark.parametrize("rounds", [1, 2])
def test_an_invalid_answer_is_shown_to_the_model_with_what_is_wrong(run, tmp_path, emulator, rounds):
    emulator.fault("*.batches.create", row="invalid_json", index=[3], times=1)

    table = run(output=output_schema(REVIEW), terms={"max_rounds": rounds})

    again = sent(tmp_path, 2)
    assert len(again) == rounds - 1
    if rounds == 1:
        assert (table[3]["llm_status"], table[3]["llm_error_code"]) == ("invalid", "invalid_output")
        assert isinstance(table[3]["llm_output"], str)  # the raw text
    else:
        turns = again[0]["messages"]
        assert [turn["role"] for turn in turns[-3:]] == ["user", "assistant", "user"]
        assert "not what was asked for" in turns[-1]["content"]
        assert table[3]["llm_output"].keys() == {"label", "score"}
    assert all(row["llm_output"].keys() == {"label", "score"} for row in table if row["n"] != 3)


def test_a_record_that_is_too_long_is_asked_as_the_users_repair_makes_it(run, tmp_path, emulator):
    emulator.set_options(context_tokens=600)
    long = "many words " * 400

    table = run([{"text": long}, {"text": "x"}], terms={"repair": cut_middle("text")})

    assert [row["llm_status"] for row in table] == ["succeeded", "succeeded"]
    assert table[0]["text"] == long  # the row is the record's own
    lengths = [len(str(sent(tmp_path, round_)[0])) for round_ in range(1, table[0]["llm_round"] + 1)]
    assert lengths == sorted(lengths, reverse=True)
    assert len(set(lengths)) == len(lengths)


def test_without_a_repair_a_request_that_must_change_is_not_asked_again(run, emulator):
    emulator.set_options(context_tokens=600)

    table = run([{"text": "many words " * 400}, {"text": "x"}])

    assert [row["llm_status"] for row in table] == ["errored", "succeeded"]
    assert emulator.bill()["total"]["batches"] == 1


@pytest.mark.parametrize(
    ("repair", "complaint"),
    [
        pytest.param(
            lambda record, error: record["no such field"], "repair failed with KeyError at record 0", id="bug"
        ),
        pytest.param(lambda record, error: "text", "must return a mapping or None; at record 0 .* str", id="type"),
    ],
)
def test_a_repair_that_is_wrong_stops_before_anything_is_sent(run, emulator, repair, complaint):
    emulator.set_options(context_tokens=600)

    with pytest.raises(InputError, match=f"{complaint}.*Nothing of round 2 was sent"):
        run([{"text": "many words " * 400}, {"text": "x"}], terms={"repair": repair})

    assert emulator.bill()["total"]["batches"] == 1


def test_a_changed_request_that_fails_otherwise_is_asked_again_as_it_was_changed(run, tmp_path, emulator, bench):
    code = "server_error" if bench.vendor == "openai" else "api_error"
    emulator.fault("*.batches.create", row="error", code=code, status=500, index=[0], skip=1, times=1)

    table = run([{"text": "a rather long text, " * 4}], max_tokens=16)

    assert [cap_in(sent(tmp_path, round_)[0]) for round_ in (1, 2, 3)] == [16, 32, 32]
    assert table[0]["llm_status"] == "succeeded"


# -- another model ---------------------------------------------------------------------------------------------


def test_rows_that_keep_failing_go_to_the_fallback_model_in_the_last_round(bench, run, tmp_path, emulator):
    code = "server_error" if bench.vendor == "openai" else "api_error"
    emulator.fault("*.batches.create", row="error", code=code, status=500, index=[2, 5], times=2)

    table = run(terms={"fallback_model": OTHER[bench.vendor]})

    assert [{body["model"] for body in sent(tmp_path, round_)} for round_ in (1, 2, 3)] == [
        {bench.model},
        {bench.model},
        {OTHER[bench.vendor]},
    ]
    assert [row["n"] for row in table if OTHER[bench.vendor] in row["llm_model"]] == [2, 5]
    assert {row["llm_status"] for row in table} == {"succeeded"}


def test_rows_that_never_ran_do_not_go_to_the_fallback_model(bench, run, tmp_path, emulator):
    emulator.fault("*.batches.create", expire=0.5, times=1)

    run(terms={"fallback_model": OTHER[bench.vendor], "max_rounds": 1})

    assert {body["model"] for body in sent(tmp_path, 2)} == {bench.model}


def test_a_refusal_goes_to_the_fallback_model_at_once_and_not_to_it_twice(bench, run, tmp_path, emulator):
    emulator.fault("*.batches.create", row="refusal", index=[4])

    table = run(terms={"fallback_model": OTHER[bench.vendor], "max_rounds": 5})

    assert [body["model"] for body in sent(tmp_path, 2)] == [OTHER[bench.vendor]]
    assert sent(tmp_path, 3) == []
    assert (table[4]["llm_status"], table[4]["llm_error_code"]) == ("errored", "refusal")


# -- what stops the job ----------------------------------------------------------------------------------------

STOPS = {
    "openai": [
        ({"code": "insufficient_quota", "status": 429}, BudgetExhaustedError, "Raise the budget"),
        ({"code": "invalid_api_key", "status": 401}, CredentialError, "Mend the account"),
    ],
    "anthropic": [
        ({"code": "billing_error", "status": 402}, BudgetExhaustedError, "Raise the budget"),
        ({"code": "authentication_error", "status": 401}, CredentialError, "Mend the account"),
    ],
}


@pytest.mark.parametrize("number", [0, 1], ids=["budget", "credential"])
def test_rows_that_only_a_person_can_help_stop_the_job_with_everything_kept(bench, run, tmp_path, emulator, number):
    fault, error, advice = STOPS[bench.vendor][number]
    emulator.fault("*.batches.create", row="error", index=[3, 7], times=1, **fault)

    with pytest.raises(error, match=f"refused 2 requests .* 2 × {fault['code']}. Nothing more is sent.*{advice}"):
        run()
    assert emulator.bill()["total"]["batches"] == 1

    table = run()  # somebody raised it, and cleared the task

    assert {row["llm_status"] for row in table} == {"succeeded"}
    assert len(sent(tmp_path, 2)) == 2
    assert emulator.bill()["total"]["requests_billed"] == len(RECORDS)


def test_rows_that_met_a_rate_limit_stop_nothing(bench, run, emulator):
    code = "rate_limit_exceeded" if bench.vendor == "openai" else "rate_limit_error"
    emulator.fault("*.batches.create", row="error", code=code, status=429, index=[3, 7], times=1)

    assert {row["llm_status"] for row in run()} == {"succeeded"}


# -- the same request twice ------------------------------------------------------------------------------------


def test_requests_that_are_the_same_are_asked_once_and_every_record_has_its_row(bench, run, emulator):
    bench.connect(max_requests=3)
    records = [{"n": number, "text": f"text {number % 7}"} for number in range(30)]

    table = run(records)

    assert [row["n"] for row in table] == list(range(30))
    assert emulator.bill()["total"]["requests"] == 7
    for row in table:
        first = table[row["n"] % 7]
        assert row["llm_output"] == first["llm_output"]
        assert row["llm_custom_id"] == first["llm_custom_id"]
        assert (row["llm_cost_usd"] == "0") is (row["n"] >= 7)
    assert run.summary["counts"]["succeeded"] == 30
    assert run.summary["usage"]["input_tokens"] == emulator.bill()["total"]["tokens"]["input"]


def test_records_that_share_a_request_share_its_second_answer_too(run, emulator):
    emulator.fault("*.batches.create", row="missing", index=[1], times=1)
    records = [{"n": number, "text": f"text {number % 2}"} for number in range(6)]

    table = run(records)

    assert [row["llm_round"] for row in table] == [1, 2] * 3
    assert emulator.bill()["total"]["requests"] == 3


def test_a_job_of_one_question_only_is_one_request(run, emulator):
    table = run([{"text": "the same"}] * 50)

    assert len(table) == 50
    assert emulator.bill()["total"]["requests"] == 1


# -- what is kept ----------------------------------------------------------------------------------------------


def test_a_failed_row_is_kept_with_every_attempt(bench, run, tmp_path, emulator):
    code = "server_error" if bench.vendor == "openai" else "api_error"
    emulator.fault("*.batches.create", row="error", code=code, status=500, index=[2])

    run()

    (failed,) = [json.loads(line) for line in (tmp_path / "job/failed/rows.jsonl").read_bytes().splitlines()]
    assert (failed["n"], failed["text"], failed["llm_error_code"]) == (2, "text 2", code)
    assert [attempt["round"] for attempt in failed["llm_attempts"]] == [1, 2, 3]
    assert {attempt["error_code"] for attempt in failed["llm_attempts"]} == {code}


def test_a_job_that_is_over_is_asked_again_once_for_each_who_asks(bench, run, tmp_path, emulator):
    emulator.fault("*.batches.create", row="refusal", index=[2], times=1)
    code = "server_error" if bench.vendor == "openai" else "api_error"
    emulator.fault("*.batches.create", row="error", code=code, status=500, index=[5], times=4)
    run()
    terms = Terms(output_uri=f"{tmp_path}/out.jsonl", max_rounds=3)

    def again(by: str) -> list[str]:
        def job():
            found = resume(f"file://{tmp_path}/job", terms, clock=bench.clock, sleep=bench.clock.sleep)
            reopen(found, by)
            return found

        bench.complete(job)
        return [json.loads(line)["llm_status"] for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]

    assert set(again("dag/run/again/-1")) == {"succeeded"}
    batches = emulator.bill()["total"]["batches"]

    assert set(again("dag/run/again/-1")) == {"succeeded"}
    assert set(again("dag/run/another/-1")) == {"succeeded"}
    assert emulator.bill()["total"]["batches"] == batches


def test_what_the_vendor_keeps_is_deleted_once_our_copy_is_whole(bench, run, emulator, tmp_path):
    run()
    calls = emulator.counts()
    (tmp_path / "out.jsonl").unlink()

    run()  # a cleared task

    assert calls.get("openai.files.delete", 0) == (2 if bench.vendor == "openai" else 0)
    assert emulator.counts().get("openai.files.delete", 0) == calls.get("openai.files.delete", 0)


def test_what_the_vendor_keeps_stays_where_the_connection_says_so(bench, run, emulator):
    bench.connect(keep_remote_files=True)

    run()

    assert "openai.files.delete" not in emulator.counts()


def test_a_deletion_that_fails_fails_nothing(run, emulator):
    emulator.fault("openai.files.delete", status=500)

    assert {row["llm_status"] for row in run()} == {"succeeded"}
