"""OpenAI's files: how long they live, and how they are deleted."""

import json

import pytest

from airflow_provider_llmbatch.core.batches import Batch
from airflow_provider_llmbatch.exceptions import CredentialError, UnavailableError
from airflow_provider_llmbatch.hooks.calls import Marker

MARKER = Marker(job="0123456789", shard="r1-00000", sha256="ab" * 32, count=1, since=0.0)
BATCH = Batch(batch_id="batch_1", status="completed", files={"input": "file-1", "output": "file-2", "error": "file-3"})
DELETED = [f"DELETE /v1/files/file-{number}" for number in (1, 2, 3)]
GONE = (404, {"error": {"message": "No such File object: file-1", "type": "invalid_request_error"}})
DOWN = (503, {"error": {"message": "Slow Down"}}, {"x-should-retry": "false"})
DAY = 24 * 60 * 60


@pytest.fixture
def request_file(tmp_path):
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b'{"custom_id":"a-1-0","method":"POST","url":"/v1/embeddings","body":{"input":"x"}}\n')
    return path


def test_an_upload_outlives_its_batch_by_days_and_not_by_a_month(bench, request_file):
    one = bench("openai").reply((200, {"id": "file-1", "object": "file"}))

    one.hook.stage(request_file, "a.jsonl")

    sent = one.wire.calls[0].content
    assert b'name="expires_after[anchor]"\r\n\r\ncreated_at\r\n' in sent
    assert b'name="expires_after[seconds]"\r\n\r\n%d\r\n' % (7 * DAY) in sent


def test_results_are_kept_as_long_as_the_vendor_keeps_any(bench, request_file):
    one = bench("openai").reply((200, {"id": "batch_1", "status": "validating"}))

    one.hook.create(request_file, {"input": "file-1"}, MARKER)

    sent = json.loads(one.wire.calls[0].content)
    assert sent["output_expires_after"] == {"anchor": "created_at", "seconds": 30 * DAY}
    assert sent["endpoint"] == "/v1/embeddings"


def test_a_service_that_knows_no_expiry_is_not_asked_for_one(bench, request_file):
    one = bench("openai", expire_files=False).reply((200, {"id": "1", "object": "file"}), (200, {"id": "batch_1"}))

    one.hook.stage(request_file, "a.jsonl")
    one.hook.create(request_file, {"input": "file-1"}, MARKER)

    assert not [call for call in one.wire.calls if b"expires" in call.content]


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ([(200, {"deleted": True})], None),
        ([GONE, (200, {"deleted": True})], None),
        ([GONE], None),
        ([DOWN, (200, {"deleted": True})], UnavailableError),
        ([(200, {}), DOWN, GONE], UnavailableError),
        ([DOWN, (401, {"error": {"message": "no"}})], CredentialError),
    ],
    ids=["all", "one-is-gone", "all-are-gone", "first-fails", "second-fails", "the-last-error-counts"],
)
def test_every_file_is_deleted_whatever_becomes_of_the_others(bench, replies, error):
    one = bench("openai").reply(*replies)

    if error:
        with pytest.raises(error):
            one.hook.cleanup(BATCH)
    else:
        one.hook.cleanup(BATCH)

    assert one.wire.asked == DELETED


def test_a_batch_without_files_is_cleaned_up_without_a_call(bench):
    one = bench("openai")

    one.hook.cleanup(Batch(batch_id="batch_1", status="failed"))

    assert one.wire.calls == []
