"""How a batch stands, in words that are no vendor's, whatever dialect it is told in."""

import json
from pathlib import Path

import msgspec
import pytest

from airflow_provider_llmbatch.core.batches import Batch, BatchError
from airflow_provider_llmbatch.hooks.anthropic import AnthropicBatchHook
from airflow_provider_llmbatch.hooks.openai import OpenAIBatchHook

WIRE = Path(__file__).parents[1] / "golden" / "wire"
FILES = {"input": "file-AAAA1111", "output": "file-OUT1", "error": "file-ERR1"}
MSGBATCH = "msgbatch_013Zva2CMHLNnXjNJJKqJ2EF"
TEN = 1795341600.0
"""2026-11-22 10:00 UTC."""


def lines(name):
    return (WIRE / f"{name}.jsonl").read_bytes().splitlines()


def openai(document):
    return OpenAIBatchHook("c").read_batch(document if isinstance(document, bytes) else json.dumps(document).encode())


def anthropic(document):
    return AnthropicBatchHook("c").read_batch(
        document if isinstance(document, bytes) else json.dumps(document).encode()
    )


OPENAI = [
    {
        "status": "validating",
        "total": 0,
        "done": 0,
        "errored": 0,
        "created_at": 1795300010.0,
        "in_progress_at": None,
        "ended_at": None,
        "expires_at": 1795386410.0,
        "files": {"input": "file-AAAA1111"},
        "marker": {"af_key": "a1b2c3d4e5f60718"},
    },
    {
        "status": "completed",
        "total": 3,
        "done": 3,
        "errored": 1,
        "in_progress_at": 1795300020.0,
        "finalizing_at": 1795300800.0,
        "ended_at": 1795300860.0,
        "files": FILES,
        "errors": [],
        "usage": {"input_tokens": 2400, "cached_input_tokens": 1024, "output_tokens": 90, "reasoning_tokens": 20},
    },
    {"status": "completed", "total": 9, "done": 9, "errored": 9, "files": {"input": "file-B", "error": "file-ERR2"}},
    {"status": "completed", "total": 2, "done": 2, "files": {"input": "file-C", "output": "file-OUT3"}},
    {
        "status": "failed",
        "ended_at": 1795300015.0,
        "files": {"input": "file-D"},
        "errors": [BatchError("invalid_json_line", "This line is not parseable as valid JSON.", 1)],
    },
    {"status": "failed", "ended_at": 1795300030.0, "files": {"input": "file-E"}},
    {
        "status": "expired",
        "total": 10,
        "done": 1,
        "errored": 0,
        "ended_at": 1795386450.0,
        "files": {"input": "file-F", "output": "file-OUT6", "error": "file-ERR6"},
    },
]
ANTHROPIC = [
    {
        "batch_id": MSGBATCH,
        "status": "in_progress",
        "total": 3,
        "done": None,
        "errored": None,
        "created_at": TEN + 0.123456,
        "ended_at": None,
        "expires_at": TEN + 86_400.123456,
    },
    {
        "batch_id": MSGBATCH,
        "status": "cancelled",
        "vendor_status": "ended",
        "total": 3,
        "done": 3,
        "errored": 1,
        "ended_at": TEN + 420,
    },
]
LOOK_ALIKES = [
    {
        "batch_id": "batch_az1",
        "status": "validating",
        "created_at": TEN,
        "total": None,
        "done": None,
        "files": {"input": "file-az1"},
        "errors": [],
        "marker": {},
    },
    {"batch_id": "b-1", "status": "validating", "files": {"input": "file-1"}},
    {"batch_id": "b-1", "status": "completed", "files": {"output": "file-o", "error": "file-e"}, "errors": []},
]


@pytest.mark.parametrize(
    ("read", "name", "number", "expected"),
    [
        pytest.param(read, name, number, expected, id=f"{name}-{number}")
        for read, name, table in [
            (openai, "openai-batches", OPENAI),
            (openai, "look-alike-batches", LOOK_ALIKES),
            (anthropic, "anthropic-batches", ANTHROPIC),
        ]
        for number, expected in enumerate(table)
    ],
)
def test_a_batch_is_read(read, name, number, expected):
    batch = read(lines(name)[number])

    assert {field: getattr(batch, field) for field in expected} == expected
    assert msgspec.json.decode(msgspec.json.encode(batch), type=Batch) == batch


def test_every_golden_batch_is_tested():
    assert [len(lines(name)) for name in ("openai-batches", "look-alike-batches", "anthropic-batches")] == [
        len(OPENAI),
        len(LOOK_ALIKES),
        len(ANTHROPIC),
    ]


def test_a_full_queue_is_told_from_other_failures():
    hook = OpenAIBatchHook("c")

    full = [hook.is_queue_full(openai(line)) for line in lines("openai-batches")]

    assert full == [False, False, False, False, False, True, False]


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("validating", "validating"),
        ("Validating", "validating"),
        ("QUEUED", "validating"),
        ("IN_PROGRESS", "in_progress"),
        ("running", "in_progress"),
        ("finalizing", "finalizing"),
        ("cancelling", "cancelling"),
        ("canceling", "cancelling"),
        ("COMPLETED", "completed"),
        ("failed", "failed"),
        ("expired", "expired"),
        ("cancelled", "cancelled"),
        ("canceled", "cancelled"),
        ("a word of tomorrow", "unknown"),
        (None, "unknown"),
    ],
)
def test_every_word_for_a_state_is_understood(word, status):
    batch = openai({"id": "b", "status": word})

    assert batch.status == status
    assert batch.is_terminal == (status in {"completed", "failed", "expired", "cancelled"})


@pytest.mark.parametrize(
    ("status", "facts", "expected"),
    [
        pytest.param("ended", {}, "completed", id="completed"),
        pytest.param("ended", {"cancel_initiated_at": "2026-11-22T10:05:00Z"}, "cancelled", id="cancelled"),
        pytest.param("ended", {"request_counts": {"expired": 1, "succeeded": 2}}, "expired", id="expired"),
        pytest.param("canceling", {}, "cancelling", id="cancelling"),
        pytest.param("in_progress", {}, "in_progress", id="in-progress"),
        pytest.param("a word of tomorrow", {}, "unknown", id="unknown"),
    ],
)
def test_anthropic_tells_how_a_batch_ended_by_its_counts(status, facts, expected):
    assert anthropic({"id": "b", "processing_status": status, **facts}).status == expected


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"request_counts": {"total": "10", "completed": 3.0, "failed": None}}, id="counts"),
        pytest.param({"request_counts": {}}, id="no-counts"),
        pytest.param({"errors": ["broken", {"code": 7, "message": None, "line": "3"}]}, id="bare-list-of-errors"),
        pytest.param({"errors": {"object": "list", "data": None}}, id="no-list-of-errors"),
        pytest.param({"metadata": {"a": 1, "b": None, "c": ["x"]}}, id="metadata-that-is-not-text"),
        pytest.param({"input_file_id": 17, "output_file_id": ""}, id="file-ids"),
        pytest.param({"created_at": "soon", "completed_at": {}}, id="times"),
        pytest.param({"id": 17}, id="number-for-an-id"),
        pytest.param({"usage": {"input_tokens": "7", "input_tokens_details": [], "output_tokens": 3.0}}, id="usage"),
        pytest.param({"usage": "none"}, id="usage-that-is-text"),
    ],
)
def test_an_oddly_typed_batch_can_still_be_written_down_and_read_back(odd):
    """Its last state goes into an event; one that cannot be read back would stop the job for ever."""
    batch = openai({"id": "b", "status": "completed"} | odd)

    assert msgspec.json.decode(msgspec.json.encode(batch), type=Batch) == batch


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, {}),
        ({"input_tokens": 0, "output_tokens": 0, "input_tokens_details": {"cached_tokens": 0}}, {}),
        ({"input_tokens": 7, "output_tokens": None}, {"input_tokens": 7}),
        ({"input_tokens": 7, "output_tokens": 0}, {"input_tokens": 7, "output_tokens": 0}),
        ({"output_tokens": 7, "output_tokens_details": {}}, {"output_tokens": 7}),
    ],
)
def test_what_a_batch_does_not_tell_of_its_tokens_is_not_taken_for_none(usage, expected):
    assert openai({"id": "b", "status": "completed", "usage": usage}).usage == expected


# -- pages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook", "page", "ids", "after"),
    [
        pytest.param(
            *(OpenAIBatchHook, {"data": [{"id": "b"}, {"id": "a"}], "has_more": True, "last_id": "a"}, ["b", "a"], "a"),
            id="openai",
        ),
        pytest.param(OpenAIBatchHook, {"data": [{"id": "a"}], "has_more": False}, ["a"], None, id="openai-last"),
        pytest.param(OpenAIBatchHook, {"data": [], "has_more": True}, [], None, id="openai-empty"),
        pytest.param(OpenAIBatchHook, {"data": None}, [], None, id="openai-null"),
        pytest.param(OpenAIBatchHook, [{"id": "b-1", "status": "IN_PROGRESS"}], ["b-1"], None, id="bare-list"),
        pytest.param(AnthropicBatchHook, {"data": [{"id": "a"}], "has_more": True}, ["a"], "a", id="anthropic"),
        pytest.param(AnthropicBatchHook, {"data": [{"id": "a"}], "has_more": False}, ["a"], None, id="anthropic-last"),
        pytest.param(AnthropicBatchHook, {"data": [], "has_more": False}, [], None, id="anthropic-empty"),
    ],
)
def test_a_page_of_the_list_is_read(hook, page, ids, after):
    found = hook("c").read_page(json.dumps(page).encode())

    assert ([batch.batch_id for batch in found.batches], found.after) == (ids, after)
