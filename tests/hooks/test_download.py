"""Result files: whole, or not at all; a cut one is resumed where the server allows it."""

import json

import pytest

from airflow_provider_llmbatch.core.batches import Batch
from airflow_provider_llmbatch.exceptions import CredentialError, TransferError
from tests.hooks.conftest import http_of

LINES = b'{"custom_id":"a"}\n{"custom_id":"b"}\n'
ENDED = Batch(batch_id="batch_1", status="completed")


@pytest.fixture
def pauses(monkeypatch):
    """Do not wait between two tries; return how long it would have been."""
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


@pytest.fixture
def fetch(bench, tmp_path, pauses):
    """Download an Anthropic batch's results from the given replies; return the bench and what was landed."""

    def run(*replies):
        one = bench("anthropic").reply(*replies)
        one.hook.download(ENDED, tmp_path / "results.jsonl")
        return one, (tmp_path / "results.jsonl").read_bytes()

    return run


def whole(body=LINES, **headers):
    return 200, body, {"content-length": str(len(body)), **headers}


def cut(at, body=LINES, **headers):
    """Return what comes of *body* when the connection is lost after *at* bytes."""
    return 200, body[:at], {"content-length": str(len(body)), **headers}


def rest(start, body=LINES, **headers):
    return 206, body[start:], {"content-length": str(len(body) - start), **headers}


def test_a_file_comes_in_one_call_from_the_connections_own_host(fetch):
    one, landed = fetch(whole())

    assert landed == LINES
    assert one.wire.asked == ["GET /v1/messages/batches/batch_1/results"]
    assert one.wire.calls[0].url.host == "api.anthropic.com"


@pytest.mark.parametrize(("sent", "landed"), [(b"", b""), (b"{}", b"{}\n"), (b"{}\n", b"{}\n")])
def test_what_came_ends_with_a_newline_if_it_is_anything(fetch, sent, landed):
    assert fetch(whole(sent))[1] == landed


def test_a_cut_file_is_asked_for_again_from_its_start(fetch, pauses):
    one, landed = fetch(cut(20), whole())

    assert landed == LINES
    assert "range" not in one.wire.calls[1].headers
    assert len(pauses) == 1


def test_a_cut_file_is_resumed_where_the_server_can_tell_that_it_is_the_same(fetch):
    one, landed = fetch(cut(20, etag='"v1"'), rest(20, etag='"v1"'))

    assert landed == LINES
    assert one.wire.calls[1].headers["range"] == "bytes=20-"
    assert one.wire.calls[1].headers["if-range"] == '"v1"'


def test_a_file_that_changed_meanwhile_is_taken_whole(fetch):
    """The server answers 200 to an ``If-Range`` that does not hold any more."""
    _, landed = fetch(cut(20, etag='"v1"'), whole(b"{}\n", etag='"v2"'))

    assert landed == b"{}\n"


def test_a_weak_mark_is_no_proof_that_it_is_the_same_file(fetch):
    one, _ = fetch(cut(20, etag='W/"v1"'), whole())

    assert "range" not in one.wire.calls[1].headers


@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_an_outage_is_waited_for(fetch, pauses, status):
    """Just after the end even a 404 passes (FACTS §2.3)."""
    _, landed = fetch((status, {}, {"retry-after": "9", "x-should-retry": "false"}), whole())

    assert landed == LINES
    assert pauses == [9.0]


def test_a_file_that_never_comes_is_given_up_and_named(fetch, pauses):
    with pytest.raises(TransferError, match=r"results did not come through.*20 of 36 bytes came.*Nothing of it was"):
        fetch(cut(20))

    assert len(pauses) == 3


def test_a_transfer_that_gets_on_is_never_given_up(fetch):
    replies = [cut(5, etag='"v"'), *((206, LINES[at : at + 5], {"content-length": "9"}) for at in range(5, 30, 5))]

    replies = [(status, body, {**headers, "etag": '"v"'}) for status, body, headers in replies]
    one, landed = fetch(*replies, rest(30, etag='"v"'))

    assert landed == LINES
    assert len(one.wire.calls) == 7


def test_a_clear_no_is_not_repeated(fetch, pauses):
    with pytest.raises(CredentialError):
        fetch((401, {}))

    assert pauses == []


def test_a_lost_connection_is_an_outage(fetch):
    _, landed = fetch(http_of("anthropic").ReadError("cut"), whole())

    assert landed == LINES


# -- OpenAI's two files --------------------------------------------------------------------------------------------


def openai(bench, path, *replies, **files):
    one = bench("openai").reply(*replies)
    one.hook.download(Batch(batch_id="b", status="completed", files=files), path)
    return one, path.read_bytes()


def test_good_and_bad_lines_land_in_one_file(bench, tmp_path):
    one, landed = openai(
        *(bench, tmp_path / "results.jsonl"),
        *[(200, {"bytes": 3}), (200, {"bytes": 2}), whole(b"{}\n"), whole(b"[]")],
        input="file-1",
        output="file-2",
        error="file-3",
    )

    assert landed == b"{}\n[]\n"
    assert {"GET /v1/files/file-2/content", "GET /v1/files/file-3/content"} <= set(one.wire.asked)
    assert not [target for target in one.wire.asked if "file-1" in target]


@pytest.mark.parametrize("files", [{}, {"input": "file-1"}])
def test_a_batch_without_files_has_no_lines_and_needs_no_call(bench, tmp_path, files):
    """Every line failed validation, or nothing was done before the cancel."""
    one, landed = openai(bench, tmp_path / "results.jsonl", (200, {}), **files)

    assert landed == b""
    assert one.wire.asked == []


@pytest.mark.parametrize("size", [{}, {"bytes": None}, {"bytes": 0}, {"bytes": "3"}, []], ids=json.dumps)
def test_a_service_that_tells_no_size_is_taken_at_its_word(bench, tmp_path, size):
    assert openai(bench, tmp_path / "results.jsonl", (200, size), whole(b"{}\n"), output="file-2")[1] == b"{}\n"


def test_a_file_shorter_than_announced_is_fetched_again(bench, tmp_path, pauses):
    short = (200, iter([b"{}\n"]), {})  # a stream: the answer does not say how long it is

    _, landed = openai(bench, tmp_path / "results.jsonl", (200, {"bytes": 36}), short, whole(), output="file-2")

    assert landed == LINES
    assert len(pauses) == 1


def test_the_first_lines_of_a_large_batch_are_read_and_not_the_rest(bench):
    given = []

    def endless():
        while True:
            given.append(LINES)
            yield LINES

    one = bench("anthropic").reply((200, endless()))

    lines = one.hook.first_lines(ENDED, 3)

    assert [json.loads(line)["custom_id"] for line in lines] == ["a", "b", "a"]
    assert sum(map(len, given)) < 1_000_000


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_vendor_with_files_gives_the_first_lines_of_them(bench, count, pauses):
    batch = Batch(batch_id="batch_1", status="completed", files={"output": "file-1"})
    one = bench("openai").reply((200, {"bytes": len(LINES)}), whole())

    assert one.hook.first_lines(batch, count) == LINES.splitlines(keepends=True)[:count]
