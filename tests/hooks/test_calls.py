"""The calls themselves: what is sent, how often, and what an odd answer to it means."""

import asyncio
import json

import pytest

from airflow_provider_llmbatch.core.batches import Batch
from airflow_provider_llmbatch.exceptions import BusyError, NotFoundError, RejectedError, UnavailableError, VendorError
from airflow_provider_llmbatch.hooks.calls import Marker
from tests.hooks.conftest import KEY, http_of

MARKER = Marker(job="0123456789", shard="r1-00000", sha256="ab" * 32, count=2, since=1795341600.0)
REQUESTS = {
    "openai": b'{"custom_id":"a-1-0","method":"POST","url":"/v1/responses","body":{"input":"x"}}\n' * 2,
    "anthropic": b'{"custom_id":"a-1-0","params":{"max_tokens":1}}\n{"custom_id":"a-1-1","params":{}}\n',
}
CREATED = {
    "openai": {"id": "batch_1", "status": "validating"},
    "anthropic": {"id": "batch_1", "processing_status": "in_progress"},
}
BATCHES = {"openai": "/v1/batches", "anthropic": "/v1/messages/batches"}
BROKEN = "the line went dead"


@pytest.fixture
def request_file(vendor, tmp_path):
    path = tmp_path / "requests.jsonl"
    path.write_bytes(REQUESTS[vendor])
    return path


def create(bench, path):
    return bench.hook.create(path, {"input": "file-1"}, MARKER)


# -- the paid call ---------------------------------------------------------------------------------------------------


def test_a_batch_is_created_with_one_call(bench, vendor, request_file):
    one = bench(vendor).reply((200, CREATED[vendor]))

    batch = create(one, request_file)

    assert batch.batch_id == "batch_1"
    assert not batch.is_terminal
    assert one.wire.asked == [f"POST {BATCHES[vendor]}"]


def test_openais_batch_names_its_file_its_endpoint_and_our_marker(bench, tmp_path):
    path = tmp_path / "requests.jsonl"
    path.write_bytes(REQUESTS["openai"])
    one = bench("openai", completion_window="1h").reply((200, CREATED["openai"]))

    create(one, path)

    assert json.loads(one.wire.calls[0].content) == {
        "input_file_id": "file-1",
        "endpoint": "/v1/responses",
        "completion_window": "1h",
        "metadata": {"llmbatch_job": "0123456789", "llmbatch_shard": "r1-00000", "llmbatch_sha256": "ab" * 32},
        "output_expires_after": {"anchor": "created_at", "seconds": 2_592_000},
    }


def test_a_marker_fits_into_openais_metadata():
    """At most 16 pairs, keys of 64 and values of 512 characters (FACTS §1.1)."""
    pairs = MARKER.as_metadata()

    assert len(pairs) <= 16
    assert all(len(key) <= 64 and len(value) <= 512 for key, value in pairs.items())


def test_anthropics_batch_is_the_request_file_in_one_body_of_known_length(bench, tmp_path):
    path = tmp_path / "requests.jsonl"
    path.write_bytes(REQUESTS["anthropic"])
    one = bench("anthropic").reply((200, CREATED["anthropic"]))

    create(one, path)

    (call,) = one.wire.calls
    assert json.loads(call.content) == {"requests": [json.loads(line) for line in REQUESTS["anthropic"].splitlines()]}
    assert call.headers["content-length"] == str(len(call.content))
    assert "transfer-encoding" not in call.headers
    assert call.headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [408, 409, 500, 502, 529])
def test_a_paid_call_is_never_repeated_by_the_sdk(bench, vendor, request_file, status):
    one = bench(vendor).reply((status, {}))

    with pytest.raises(UnavailableError):
        create(one, request_file)
    assert len(one.wire.calls) == 1


def test_a_paid_call_that_is_cut_off_is_not_repeated_and_not_a_no(bench, vendor, request_file):
    one = bench(vendor).reply(http_of(vendor).ReadError(BROKEN))

    with pytest.raises(UnavailableError, match="may or may not have been carried out"):
        create(one, request_file)
    assert len(one.wire.calls) == 1


@pytest.mark.parametrize("body", [b"<html>OK</html>", b"", b'{"id": "batch_'], ids=["page", "empty", "cut"])
def test_a_yes_that_cannot_be_read_is_not_a_no(bench, vendor, request_file, body):
    one = bench(vendor).reply((200, body))

    with pytest.raises(UnavailableError, match="cannot be read"):
        create(one, request_file)


def test_a_clear_no_is_a_clear_no(bench, vendor, request_file):
    with pytest.raises(RejectedError):
        create(bench(vendor).reply((400, {"error": {"message": "bad"}})), request_file)
    with pytest.raises(BusyError) as caught:
        create(bench(vendor).reply((429, {"error": {"message": "slow"}}, {"retry-after": "7"})), request_file)

    assert caught.value.retry_after == 7.0


def test_an_upload_that_the_vendor_does_not_see_yet_is_not_a_refusal(bench, tmp_path):
    path = tmp_path / "requests.jsonl"
    path.write_bytes(REQUESTS["openai"])
    message = "Cannot find file file-1, or project proj_X does not have access to it."
    one = bench("openai").reply((400, {"error": {"message": message}}))

    with pytest.raises(BusyError) as caught:
        create(one, path)
    assert caught.value.retry_after > 0


# -- around it ---------------------------------------------------------------------------------------------------


def test_openais_upload_carries_the_file_its_name_and_its_purpose(bench, tmp_path):
    path = tmp_path / "requests.jsonl"
    path.write_bytes(REQUESTS["openai"])
    one = bench("openai", purpose="batch-api").reply((200, {"id": "file-1", "object": "file"}))

    staged = one.hook.stage(path, "0123456789-r1-00000.jsonl")

    assert staged == {"input": "file-1"}
    (call,) = one.wire.calls
    assert one.wire.asked == ["POST /v1/files"]
    assert REQUESTS["openai"] in call.content
    assert b'filename="0123456789-r1-00000.jsonl"' in call.content
    assert b"\r\n\r\nbatch-api\r\n" in call.content


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ([{"id": "file-9", "filename": "a.jsonl", "bytes": 417}], {"input": "file-9"}),
        ([{"id": "file-9", "filename": "a.jsonl", "bytes": 416}], None),
        ([{"id": "file-9", "filename": "b.jsonl", "bytes": 417}], None),
        ([], None),
        (None, None),
    ],
    ids=["ours", "another-size", "another-name", "none", "null"],
)
def test_an_upload_that_never_got_its_batch_is_found_by_name_and_size(bench, files, found):
    one = bench("openai").reply((200, {"data": files}))

    assert one.hook.run(one.hook.find_staged("a.jsonl", 417)) == found


def test_where_there_is_no_upload_none_is_looked_for(bench):
    one = bench("anthropic")

    assert one.hook.run(one.hook.find_staged("a.jsonl", 417)) is None
    assert one.wire.calls == []


def test_anthropic_needs_no_upload(bench, tmp_path):
    one = bench("anthropic")

    assert one.hook.stage(tmp_path / "requests.jsonl", "any") == {}
    assert one.wire.calls == []


def test_a_cancel_is_one_call(bench, vendor):
    one = bench(vendor)

    one.hook.cancel("batch_1")

    assert one.wire.asked == [f"POST {BATCHES[vendor]}/batch_1/cancel"]


@pytest.mark.parametrize("status", [429, 500])
def test_a_cancel_is_not_repeated_and_waits_seconds_at_most(bench, vendor, status):
    one = bench(vendor).reply((status, b"{}"))

    with pytest.raises(VendorError):
        one.hook.cancel("batch_1")

    assert len(one.wire.calls) == 1
    assert one.wire.calls[0].extensions["timeout"]["read"] <= 10


def test_files_that_openai_keeps_are_deleted(bench):
    one = bench("openai")

    one.hook.cleanup(Batch(batch_id="batch_1", status="completed", files={"input": "file-1", "output": "file-2"}))

    assert one.wire.asked == ["DELETE /v1/files/file-1", "DELETE /v1/files/file-2"]


def test_anthropics_batch_stays_as_proof_of_what_was_paid_for(bench):
    one = bench("anthropic")

    one.hook.cleanup(Batch(batch_id="batch_1", status="completed"))

    assert one.wire.calls == []


def test_the_key_travels_in_a_header_and_nowhere_else(bench, vendor, request_file):
    one = bench(vendor).reply((200, CREATED[vendor]))

    create(one, request_file)

    (call,) = one.wire.calls
    assert KEY in f"{call.headers.get('authorization')} {call.headers.get('x-api-key')}"
    assert KEY not in str(call.url)
    assert KEY.encode() not in call.content


@pytest.mark.parametrize(
    ("reply", "passes", "message"),
    [
        ((200, {"data": []}), True, "{vendor} accepted the key."),
        ((401, {"error": {"message": "no"}}), False, "{vendor} answered 401"),
        ((200, b"<html>"), False, "cannot be read"),
    ],
    ids=["right", "wrong", "another-server"],
)
def test_the_test_button_says_what_the_vendor_said(bench, vendor, reply, passes, message):
    one = bench(vendor).reply(reply)

    found = one.hook.test_connection()

    assert found[0] is passes
    assert message.format(vendor=vendor) in found[1]
    assert one.wire.asked == [f"GET {BATCHES[vendor]}?limit=1"]


# -- looking ---------------------------------------------------------------------------------------------------------


def pages(vendor, *ids_of_pages):
    """Return the vendor's list, newest first, one reply per page."""
    name = {"openai": "status", "anthropic": "processing_status"}[vendor]
    return [
        (200, {"data": [{"id": one, name: "in_progress"} for one in ids], "has_more": number < len(ids_of_pages)})
        for number, ids in enumerate(ids_of_pages, 1)
    ]


def look(one, *ids):
    return sorted(one.hook.run(one.hook.look(ids)))


def test_one_batch_is_asked_for_by_itself(bench, vendor):
    one = bench(vendor).reply((200, CREATED[vendor]))

    assert look(one, "batch_1") == ["batch_1"]
    assert one.wire.asked == [f"GET {BATCHES[vendor]}/batch_1"]


def test_many_batches_are_looked_up_in_one_page_of_the_list(bench, vendor):
    ids = [f"b{number:02}" for number in range(50)]
    one = bench(vendor).reply(*pages(vendor, ids))

    assert look(one, *ids) == ids
    assert one.wire.asked == [f"GET {BATCHES[vendor]}?limit={one.hook.page_size}"]


def test_the_list_is_read_on_while_it_shows_any_that_are_wanted(bench, vendor):
    one = bench(vendor).reply(*pages(vendor, ["d", "x"], ["b", "y"], ["a"]))
    after = {"openai": "after", "anthropic": "after_id"}[vendor]

    assert look(one, "a", "b", "d") == ["a", "b", "d"]
    assert [call.url.params.get(after) for call in one.wire.calls] == [None, "x", "y"]


def test_what_the_list_does_not_show_is_asked_for_by_itself(bench, vendor):
    first, second, _ = pages(vendor, ["d"], ["x"], ["never read"])
    one = bench(vendor).reply(first, second, (404, {}), (200, CREATED[vendor]))

    assert look(one, "d", "a-lagging-one", "batch_1") == ["batch_1", "d"]
    assert [target.rpartition("/")[2] for target in one.wire.asked[2:]] == ["a-lagging-one", "batch_1"]


def test_a_look_is_given_up_long_before_a_paid_call(bench, vendor, request_file):
    """One that hangs would hold up all who share it."""
    one = bench(vendor).reply((200, CREATED[vendor]))

    look(one, "batch_1")
    create(one, request_file)

    looked, paid = (call.extensions["timeout"]["read"] for call in one.wire.calls)
    assert looked <= 60
    assert paid >= 600


@pytest.mark.parametrize("status", [401, 429, 500])
def test_a_look_that_fails_is_an_error_and_not_an_absence(bench, vendor, status):
    one = bench(vendor).reply((status, {}, {"x-should-retry": "false"}))

    with pytest.raises(VendorError, match=str(status)) as caught:
        look(one, "a")
    assert not isinstance(caught.value, NotFoundError)


def test_a_look_alike_without_a_list_is_asked_one_by_one(bench):
    one = bench("openai", list_mode="none").reply((200, CREATED["openai"]))

    look(one, "a", "b")

    assert one.wire.asked == ["GET /v1/batches/a", "GET /v1/batches/b"]


def test_a_look_alike_whose_cursor_is_a_number_gets_numbers(bench):
    one = bench("openai", list_mode="offset").reply(*pages("openai", ["d", "c"], ["b", "x"], ["a"]))

    assert look(one, "a", "b", "c") == ["a", "b", "c"]
    assert [call.url.params.get("after") for call in one.wire.calls] == [None, "2", "4"]


def test_the_triggerer_sees_what_the_worker_sees(bench, vendor):
    sync = bench(vendor).reply(*pages(vendor, ["b", "a"]))
    one = bench(vendor).reply(*pages(vendor, ["b", "a"]))
    http = http_of(vendor)
    one.hook.settings.client_kwargs["http_client"] = http.AsyncClient(transport=http.MockTransport(one.wire))

    async def looked():
        async with one.hook.async_client() as client:
            return await one.hook.arun(one.hook.look(["a", "b"]), client)

    assert asyncio.run(looked()) == sync.hook.run(sync.hook.look(["a", "b"]))
    assert one.wire.asked == sync.wire.asked
