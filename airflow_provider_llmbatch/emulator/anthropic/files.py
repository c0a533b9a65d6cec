"""The routes under ``/v1/files``, as far as a request may name a file by its id."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.responses import Response

from airflow_provider_llmbatch.emulator.anthropic.pages import limit
from airflow_provider_llmbatch.emulator.anthropic.params import bad
from airflow_provider_llmbatch.emulator.files import StoredFile
from airflow_provider_llmbatch.emulator.ids import make_id
from airflow_provider_llmbatch.emulator.wire import AnthropicError, Call, reply, rfc3339
from airflow_provider_llmbatch.emulator.world import World


async def create(world: World, call: Call) -> Response:
    """``POST /v1/files``"""
    try:
        async with call.request.form() as form:
            return await _create(world, call, form)
    except MultiPartException as error:
        raise bad(error.message) from None


async def _create(world: World, call: Call, form: FormData) -> Response:
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise bad("file: Field required")
    content = await upload.read()
    incoming = world.folder / "incoming" / call.request_id
    await asyncio.to_thread(incoming.write_bytes, content)
    now = world.clock.now()
    seconds = str(form.get("expires_in_seconds") or "")
    file = StoredFile(
        id=make_id("file", "anthropic", world.options.seed, world.files.count("anthropic") + 1).replace("-", "_01"),
        vendor="anthropic",
        number=len(world.files.by_id) + 1,
        bytes=len(content),
        filename=upload.filename or "upload",
        purpose=upload.content_type or "application/octet-stream",
        sha256=hashlib.sha256(content).hexdigest(),
        created_at=time.time(),
        watch=world.clock.watch(),
        born=now,
        lives=float(seconds) if seconds.isdigit() else None,
    )
    world.files.add(incoming, file)
    incoming.unlink()
    return reply(_render(file))


async def retrieve(world: World, call: Call) -> Response:
    """``GET /v1/files/{file_id}``"""
    return reply(_render(_find(world, call)))


async def list_files(world: World, call: Call) -> Response:
    """``GET /v1/files``: newest first; the next page is named, not computed by the client."""
    query = call.request.query_params
    files = list(world.files.listed("anthropic"))[::-1]
    start = int(query.get("page", "page_0").removeprefix("page_") or 0)
    size = limit(query)
    more = start + size < len(files)
    data = [_render(file) for file in files[start : start + size]]
    return reply({"data": data, "next_page": f"page_{start + size}" if more else None})


async def delete(world: World, call: Call) -> Response:
    """``DELETE /v1/files/{file_id}``"""
    file = _find(world, call)
    world.files.delete(file)
    return reply({"id": file.id, "type": "file_deleted"})


def _find(world: World, call: Call) -> StoredFile:
    file = world.files.get(call.params["file_id"])
    if file is None or file.vendor != "anthropic":
        raise AnthropicError(404, f"File not found: {call.params['file_id']}")
    return file


def _render(file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "type": "file",
        "filename": file.filename,
        "mime_type": file.purpose,
        "size_bytes": file.bytes,
        "created_at": rfc3339(file.created_at),
        "expires_at": rfc3339(file.created_at + file.lives) if file.lives else None,
        "downloadable": False,
    }
