"""OpenAI's files: uploads, lists, lifetimes, and downloads that can be resumed."""

from __future__ import annotations

import openai
import pytest

from airflow_provider_llmbatch.emulator import Emulator
from tests.emulator.conftest import DAY, raw


def upload(oai: openai.OpenAI, name: str = "a.jsonl", content: bytes = b"{}\n", purpose: str = "batch", **more: object):
    return oai.files.create(file=(name, content), purpose=purpose, **more)  # type: ignore[arg-type]


def test_an_upload_is_kept_byte_by_byte(oai: openai.OpenAI) -> None:
    content = bytes(range(256)) * 5_000
    file = upload(oai, content=content)

    assert (file.bytes, file.filename, file.purpose, file.status) == (len(content), "a.jsonl", "batch", "processed")
    assert file.expires_at == file.created_at + 30 * DAY
    assert oai.files.content(file.id).content == content
    assert oai.files.retrieve(file.id) == file


def test_malformed_lines_are_no_reason_to_refuse_an_upload(oai: openai.OpenAI) -> None:
    assert upload(oai, content=b"not json").status == "processed"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        pytest.param({"name": "a.json"}, "Must be .jsonl", id="another ending"),
        pytest.param({"purpose": "poetry"}, "Supported values are", id="unknown purpose"),
        pytest.param({"content": b"x" * 1_001}, "File is too large", id="too large"),
        pytest.param({"expires_after": {"anchor": "created_at", "seconds": 60}}, "between 3600", id="too short a life"),
        pytest.param({"expires_after": {"anchor": "now", "seconds": 3_600}}, "created_at", id="another anchor"),
    ],
)
def test_a_bad_upload_is_refused(
    emulator: Emulator, oai: openai.OpenAI, settings: dict[str, object], text: str
) -> None:
    emulator.set_options(openai_max_bytes=1_000)
    with pytest.raises(openai.BadRequestError, match=text):
        upload(oai, **settings)  # type: ignore[arg-type]

    assert list(oai.files.list()) == []


def test_a_file_of_exactly_the_limit_is_accepted(emulator: Emulator, oai: openai.OpenAI) -> None:
    emulator.set_options(openai_max_bytes=1_000)

    assert upload(oai, content=b"x" * 1_000).bytes == 1_000


def test_an_upload_without_a_file_is_refused(emulator: Emulator) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n'
    status, _, body = raw(emulator, "POST", "/v1/files", form, content_type="multipart/form-data; boundary=b")

    assert status == 400
    assert b"missing_required_parameter" in body


def test_a_file_expires_when_it_was_told_to(emulator: Emulator, oai: openai.OpenAI) -> None:
    file = upload(oai, expires_after={"anchor": "created_at", "seconds": 3_600})
    emulator.advance(3_599)
    assert oai.files.retrieve(file.id).id == file.id
    emulator.advance(1)

    with pytest.raises(openai.NotFoundError):
        oai.files.retrieve(file.id)
    assert list(oai.files.list()) == []


def test_a_deleted_file_is_gone(oai: openai.OpenAI) -> None:
    file = upload(oai)
    assert oai.files.delete(file.id).deleted

    with pytest.raises(openai.NotFoundError, match="No such File object"):
        oai.files.content(file.id)


def test_lists_can_be_filtered_ordered_and_paged(oai: openai.OpenAI) -> None:
    made = [upload(oai, f"{number}.jsonl").id for number in range(5)]
    upload(oai, "a.txt", purpose="user_data")

    assert [file.id for file in oai.files.list(purpose="batch")] == made[::-1]
    assert [file.id for file in oai.files.list(purpose="batch", order="asc", limit=2)] == made
    assert [file.id for file in oai.files.list(purpose="batch", order="asc", after=made[2])] == made[3:]
    assert len(list(oai.files.list())) == 6


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "order=up"])
def test_a_bad_page_is_refused(emulator: Emulator, query: str) -> None:
    assert raw(emulator, "GET", f"/v1/files?{query}")[0] == 400


def test_a_download_can_be_resumed_where_it_was_cut(emulator: Emulator, oai: openai.OpenAI) -> None:
    content = bytes(range(256)) * 40
    path = f"/v1/files/{upload(oai, content=content).id}/content"
    status, headers, _ = raw(emulator, "GET", path)
    assert (status, headers["content-length"], headers["accept-ranges"]) == (200, str(len(content)), "bytes")
    assert headers["etag"].startswith('"')

    rest = raw(emulator, "GET", path, range="bytes=5000-", if_range=headers["etag"])
    assert (rest[0], rest[1]["content-range"]) == (206, f"bytes 5000-{len(content) - 1}/{len(content)}")
    assert rest[2] == content[5_000:]
    changed = raw(emulator, "GET", path, range="bytes=5000-", if_range='"another"')
    assert (changed[0], changed[2]) == (200, content)
    assert raw(emulator, "GET", path, range=f"bytes={len(content)}-")[0] == 416
