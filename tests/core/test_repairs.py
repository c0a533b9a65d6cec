"""An answer as text: how it is read, what the model is told if it is wrong, and what is asked instead."""

import enum
import json
import logging
import pickle
import warnings
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator

from airflow_provider_llmbatch.core.reader import MAX_COMPLAINT, reader
from airflow_provider_llmbatch.core.repairs import MARK, RowError, cut_end, cut_middle, drop, first_of
from airflow_provider_llmbatch.core.schemas import output_schema
from airflow_provider_llmbatch.exceptions import InputError


class Part(BaseModel):
    name: str
    count: int = Field(1, ge=0)


# -- reading ---------------------------------------------------------------------------------------------------------

PART = '{"name": "bolt", "count": 2}'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(PART, id="json"),
        pytest.param(f"\n {PART}\n", id="spaces around"),
        pytest.param(f"Here it is:\n```json\n{PART}\n```\nAnything else?", id="a fence in a text"),
        pytest.param(f"```\n{PART}\n```", id="a fence of no language"),
        pytest.param(f"```JSON {PART}```", id="a fence in one line"),
        pytest.param(f"  ```json\r\n{PART}\r\n  ```", id="an indented fence"),
    ],
)
@pytest.mark.parametrize("output_type", [Part, None])
def test_json_is_found_with_or_without_a_fence(output_type, text):
    assert reader(output_type, output_schema(Part))(text) == {"name": "bolt", "count": 2}


def test_a_fence_in_a_text_of_the_answer_is_no_fence():
    text = json.dumps({"name": "write ```json\n{}\n``` here"})

    assert reader(Part, output_schema(Part))(f"```json\n{text}\n```")["name"] == "write ```json\n{}\n``` here"


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: float
    y: float = 0.0


class Aliased(BaseModel):
    model_config = ConfigDict(strict=True)
    when: date = Field(alias="the_day")


@pytest.mark.parametrize(
    ("output_type", "sent", "value"),
    [
        pytest.param(list[int], {"value": [1, "2"]}, [1, 2], id="unwrapped, and made what the type says"),
        pytest.param(set[int], {"value": [1, 1]}, [1], id="a set is a list in JSON"),
        pytest.param(Colour, {"value": "red"}, "red", id="an enum is its value"),
        pytest.param(Point, {"x": 1}, {"x": 1.0, "y": 0.0}, id="a default is filled in"),
        pytest.param(
            Aliased, {"the_day": "2026-01-02"}, {"the_day": "2026-01-02"}, id="strict, named as in the schema"
        ),
        pytest.param(list[Aliased], {"value": [{"the_day": "2026-01-02"}]}, [{"the_day": "2026-01-02"}], id="wrapped"),
        pytest.param(Decimal, {"value": 0.1}, "0.1", id="a decimal is a text"),
        pytest.param(int, {"value": 10**30}, 10**30, id="a large number"),
        pytest.param({"type": "array"}, {"value": [1, "2"]}, [1, "2"], id="a schema changes nothing"),
    ],
)
def test_the_value_is_in_jsons_own_types(output_type, sent, value):
    assert reader(output_type, output_schema(output_type))(json.dumps(sent)) == value


def test_a_reader_says_nothing_aloud(caplog):
    class Sloppy(BaseModel):
        number: int

        @field_validator("number", mode="after")
        @classmethod
        def change(cls, value: int) -> Any:
            return "the patient's name"

    with warnings.catch_warnings(record=True) as warned, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        assert reader(Sloppy, output_schema(Sloppy))('{"number": 1}') == {"number": "the patient's name"}

    assert not warned
    assert not caplog.records


# -- what the model is told --------------------------------------------------------------------------------------


class Choosy(BaseModel):
    even: int

    @field_validator("even")
    @classmethod
    def check(cls, value: int) -> int:
        if value == 13:
            raise KeyError("the patient's name")
        if value % 2:
            raise ValueError("must be even")
        return value


WRONG = [
    pytest.param(Part, "", "^The answer is not JSON: EOF", id="nothing"),
    pytest.param(Part, "I cannot say.", "^The answer is not JSON: expected value at line 1", id="prose"),
    pytest.param(Part, "```json\n{oops}\n```", "^The answer is not JSON", id="a fence around something else"),
    pytest.param(Part, '{"name": NaN}', "^The answer is not JSON", id="a number that is not JSON"),
    pytest.param(Part, "[" * 100_000, "^The answer is not JSON: recursion", id="too deep"),
    pytest.param(Part, '{"name": 1}', r"(?m)^- name: .*string", id="a wrong type"),
    pytest.param(Part, '{"count": 1}', r"(?m)^- (name: Field required|the whole answer: 'name')", id="a missing field"),
    pytest.param(list[Part], '{"value": [{"name": "a"}, {}]}', r"(?m)^- value\.1", id="deep, and wrapped"),
    pytest.param(list[Part], "[]", "the whole answer|value", id="not wrapped"),
    pytest.param(list[Part], "{}", "value", id="an empty wrapper"),
    pytest.param(Part, '{"name": "a", "count": -1}', r"(?m)^- count: .*0", id="out of bounds"),
    pytest.param(Annotated[str, Field(max_length=3)], json.dumps({"value": "x" * 9_999}), "value", id="a long text"),
]


@pytest.mark.parametrize(("output_type", "text", "reason"), WRONG)
@pytest.mark.parametrize("knows_type", [True, False])
def test_the_model_is_told_what_is_wrong_and_where(output_type, text, reason, knows_type):
    with pytest.raises(ValueError, match=reason) as caught:
        reader(output_type if knows_type else None, output_schema(output_type))(text)

    assert len(str(caught.value)) <= MAX_COMPLAINT


@pytest.mark.parametrize("output_type", [list[Part], None])
def test_a_complaint_names_the_first_errors_and_stays_short(output_type):
    text = json.dumps({"value": [{"name": [n] * 999} for n in range(99)]})
    with pytest.raises(ValueError, match=r"value\.0\.name") as caught:
        reader(output_type, output_schema(list[Part]))(text)

    lines = str(caught.value).splitlines()
    assert len(lines) == 7
    assert lines[-1] == "- and more"
    assert len(str(caught.value)) <= MAX_COMPLAINT


@pytest.mark.parametrize("output_type", [list[Annotated[str, Field(pattern="^(" + "a|" * 999 + ")$")]], None])
def test_a_complaint_is_never_longer_than_its_limit(output_type):
    made = output_schema(list[Annotated[str, Field(pattern="^(" + "a|" * 999 + ")$")]])
    with pytest.raises(ValueError, match=r"value\.0") as caught:
        reader(output_type, made)(json.dumps({"value": ["b" * 140] * 9}))

    assert len(str(caught.value)) <= MAX_COMPLAINT


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        pytest.param(1, r"- even: Value error, must be even", id="its reason"),
        pytest.param(13, r"^The answer cannot be checked: KeyError\.$", id="not what a crash says"),
    ],
)
def test_a_validator_of_the_users_is_asked(number, reason):
    with pytest.raises(ValueError, match=reason):
        reader(Choosy, output_schema(Choosy))(json.dumps({"even": number}))


# -- what is asked instead -------------------------------------------------------------------------------------------

TEXT = "0123456789" * 10


def error(code="context_length_exceeded", message="", round_=1):
    return RowError(code=code, message=message, status="errored", round=round_)


def twice(record, error):
    return {**record, "text": record["text"] * 2}


def never(record, error):
    record.clear()


@pytest.mark.parametrize(
    ("repair", "round_", "text"),
    [
        pytest.param(cut_middle("text"), 1, TEXT[:25] + MARK + TEXT[-25:], id="a half of the middle"),
        pytest.param(cut_middle("text"), 2, TEXT[:13] + MARK + TEXT[-12:], id="a quarter in round 2"),
        pytest.param(cut_middle("text", keep=0.9), 1, TEXT[:45] + MARK + TEXT[-45:], id="less is left out"),
        pytest.param(cut_end("text"), 1, TEXT[:50] + MARK, id="the end"),
        pytest.param(cut_end("text", keep=0.1), 2, TEXT[:1] + MARK, id="the end in round 2"),
    ],
)
def test_a_text_is_cut_where_it_was_asked_for_and_more_in_each_round(repair, round_, text):
    assert repair({"text": TEXT, "id": 1}, error(round_=round_)) == {"text": text, "id": 1}


@pytest.mark.parametrize(
    ("repair", "record"),
    [
        pytest.param(cut_middle("text"), {}, id="no such field"),
        pytest.param(cut_middle("text"), {"text": ["a"] * 100}, id="no text"),
        pytest.param(cut_middle("text"), {"text": ""}, id="an empty text"),
        pytest.param(cut_middle("text"), {"text": "short one"}, id="so short that the mark makes it longer"),
        pytest.param(cut_end("text", keep=0.01), {"text": "x" * 99}, id="nothing would be left"),
        pytest.param(drop("text"), {}, id="nothing to drop"),
        pytest.param(drop("text"), {"text": ""}, id="dropped before"),
        pytest.param(drop(), {"text": "x"}, id="no field"),
        pytest.param(first_of(), {"text": TEXT}, id="no repair"),
        pytest.param(first_of(never, drop("note")), {"text": TEXT}, id="none of them helps"),
    ],
)
def test_what_cannot_be_made_shorter_is_given_up(repair, record):
    assert repair(record, error()) is None


@given(text=st.text(max_size=200), keep=st.floats(0.01, 0.99), round_=st.integers(1, 5), middle=st.booleans())
def test_a_cut_text_is_shorter_and_made_of_the_old_one(text, keep, round_, middle):
    repair = cut_middle("text", keep) if middle else cut_end("text", keep)
    found = repair({"text": text}, error(round_=round_))
    if found:
        assert len(found["text"]) < len(text)
        kept = len(found["text"]) - len(MARK)
        head = kept - kept // 2 if middle else kept
        assert found["text"] == text[:head] + MARK + text[len(text) - (kept - head) :]


def test_a_dropped_field_stays_as_an_empty_one():
    record = {"a": "text", "b": ["x"], "c": {"d": 1}, "e": 5, "f": "other"}

    assert drop("a", "b", "c", "e", "missing")(record, error()) == {
        "a": "",
        "b": [],
        "c": None,
        "e": None,
        "f": "other",
    }


def test_the_record_that_is_handed_in_is_left_alone():
    record = {"text": TEXT}
    for repair in (cut_middle("text"), cut_end("text"), drop("text"), first_of(never, cut_end("text"))):
        repair(record, error())

    assert record == {"text": TEXT}


TOO_LONG = [
    pytest.param("context_length_exceeded", "", id="OpenAI's context"),
    pytest.param("string_above_max_length", "", id="OpenAI's longest text"),
    pytest.param("invalid_request_error", "This model's maximum context length is 8192 tokens.", id="embeddings"),
    pytest.param("request_too_large", "", id="Anthropic's largest request"),
    pytest.param("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", id="Anthropic's longest prompt"),
    pytest.param("invalid_request_error", "Prompt is too long", id="in capitals"),
    pytest.param(
        "invalid_request_error", "input length and `max_tokens` exceed context limit: 9 + 9 > 10", id="with max_tokens"
    ),
]
OTHER = [
    pytest.param("invalid_request_error", "tools: Tool names must be unique.", id="another bad request"),
    pytest.param("refusal", "", id="a refusal"),
    pytest.param("truncated", "The answer stopped at its max_tokens.", id="an answer that is too long"),
    pytest.param("server_error", "", id="the vendor's mistake"),
]
REPAIRS = [cut_middle("text"), cut_end("text"), drop("text"), first_of(drop("note"), cut_end("text"))]


@pytest.mark.parametrize(("code", "message"), TOO_LONG)
@pytest.mark.parametrize("repair", REPAIRS)
def test_a_prompt_that_is_too_long_is_made_shorter(repair, code, message):
    assert len(repair({"text": TEXT}, error(code, message))["text"]) < len(TEXT)


@pytest.mark.parametrize(("code", "message"), OTHER)
@pytest.mark.parametrize("repair", REPAIRS)
def test_nothing_else_is_helped_by_a_shorter_prompt(repair, code, message):
    assert repair({"text": TEXT}, error(code, message)) is None


@pytest.mark.parametrize("make", [cut_middle, cut_end, drop])
def test_other_errors_can_be_named(make):
    repair = make("text", codes=("image_too_large", "names must be unique"))

    assert repair({"text": TEXT}, error("image_too_large"))
    assert repair({"text": TEXT}, error("invalid_request_error", "tools: Tool names must be unique."))
    assert repair({"text": TEXT}, error()) is None


def test_the_first_that_helps_is_taken():
    repair = first_of(drop("note"), cut_end("text"), twice)

    assert repair({"text": TEXT, "note": "n"}, error()) == {"text": TEXT, "note": ""}
    assert repair({"text": TEXT}, error()) == {"text": TEXT[:50] + MARK}
    assert repair({"text": TEXT}, error("refusal")) == {"text": TEXT * 2}


@pytest.mark.parametrize("keep", [0, 1, -0.5, 2, float("nan")])
@pytest.mark.parametrize("make", [cut_middle, cut_end])
def test_a_part_is_between_nothing_and_all(make, keep):
    with pytest.raises(InputError, match=r"keep=.* above 0 and below 1\. Nothing was sent"):
        make("text", keep)


@pytest.mark.parametrize("repair", REPAIRS)
def test_repairs_survive_pickling_and_say_what_they_are(repair):
    again = pickle.loads(pickle.dumps(repair))

    assert again == repair
    assert repr(again) == repr(repair)


def test_a_repair_is_written_the_same_in_every_process():
    repair = first_of(cut_end("text", codes=("a",)), drop("note", codes=("a",)), twice)

    assert repr(repair) == (
        "FirstOf(Cut(field='text', keep=0.5, codes=('a',), keeps_end=False), "
        f"Drop(fields=('note',), codes=('a',)), {__name__}.twice)"
    )
