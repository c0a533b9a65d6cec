"""The routes under ``/v1/files`` (FACTS §1.1, §1.5)."""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.responses import FileResponse, Response

from airflow_provider_llmbatch.emulator.files import BATCH_FILE_SECONDS, StoredFile
from airflow_provider_llmbatch.emulator.ids import make_id
from airflow_provider_llmbatch.emulator.openai.pages import page
from airflow_provider_llmbatch.emulator.openai.params import bad, one_of
from airflow_provider_llmbatch.emulator.wire import Call, OpenAIError, reply
from airflow_provider_llmbatch.emulator.world import World

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
_MAX_FILE_BYTES = 512_000_000
_PIECE = 1 << 20


async def create(world: World, call: Call) -> Response:
    """``POST /v1/files``: the upload goes to disk as it comes in."""
    try:
        async with call.request.form() as form:
            return await _create(world, call, form)
    except MultiPartException as error:
        raise bad(error.message, None, "invalid_request") from None


async def _create(world: World, call: Call, form: FormData) -> Response:
    purpose = one_of(form.get("purpose"), "purpose", PURPOSES)
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise bad("Missing required parameter: 'file'.", "file", "missing_required_parameter")
    name = upload.filename or "upload"
    if purpose == "batch" and not name.endswith(".jsonl"):
        raise OpenAIError(400, "Invalid file format for Batch API. Must be .jsonl")
    most = world.options.openai_max_bytes if purpose == "batch" else _MAX_FILE_BYTES
    size = upload.size or 0
    if size > most:
        raise OpenAIError(400, f"File is too large. Max allowed size is {most:,} bytes.")
    lives = _lifetime(form, "expires_after", BATCH_FILE_SECONDS if purpose == "batch" else None)
    incoming = world.folder / "incoming" / call.request_id
    sha256 = await asyncio.to_thread(_save, upload, incoming)
    file = _describe(world, call, size, filename=name, purpose=str(purpose), sha256=sha256, lives=lives)
    world.files.add(incoming, file)
    incoming.unlink()
    return reply(file.openai())


def _describe(world: World, call: Call, size: int, **fields: Any) -> StoredFile:
    number = world.files.count("openai") + 1
    now = world.clock.now()
    return StoredFile(
        id=make_id("file", world.options.seed, number),
        vendor="openai",
        number=len(world.files.by_id) + 1,
        bytes=size,
        created_at=time.time(),
        watch=world.clock.watch(),
        born=now,
        faults=[fault for fault in call.faults if fault.list_lag or fault.retrieve_lag],
        **fields,
    )


def _save(upload: UploadFile, target: Path) -> str:
    """Copy *upload* to *target* and return its SHA-256."""
    state = hashlib.sha256()
    with target.open("wb") as out:
        while piece := upload.file.read(_PIECE):
            state.update(piece)
            out.write(piece)
    return state.hexdigest()


def _lifetime(form: FormData, name: str, default: float | None) -> float | None:
    if f"{name}[seconds]" not in form and f"{name}[anchor]" not in form:
        return default
    settings = {"anchor": form.get(f"{name}[anchor]"), "seconds": form.get(f"{name}[seconds]")}
    try:
        settings["seconds"] = int(str(settings["seconds"]))  # type: ignore[assignment]
    except ValueError:
        raise bad(
            f"Invalid type for '{name}.seconds': expected an integer.", f"{name}.seconds", "invalid_type"
        ) from None
    return check_lifetime(settings, name)


def check_lifetime(settings: dict[str, Any] | None, name: str) -> float | None:
    """Check an expiry policy: an hour to 30 days after creation."""
    if settings is None:
        return None
    one_of(settings.get("anchor"), f"{name}.anchor", ("created_at",))
    seconds = settings.get("seconds")
    if not isinstance(seconds, int) or not 3_600 <= seconds <= 2_592_000:
        text = f"Invalid '{name}.seconds': expected an integer between 3600 and 2592000, but got {seconds!r} instead."
        raise bad(text, f"{name}.seconds", "invalid_value")
    return float(seconds)


async def retrieve(world: World, call: Call) -> Response:
    """``GET /v1/files/{file_id}``"""
    return reply(_find(world, call).openai())


async def list_files(world: World, call: Call) -> Response:
    """``GET /v1/files``: newest first unless ``order=asc``."""
    query = call.request.query_params
    purpose = query.get("purpose")
    order = one_of(query.get("order", "desc"), "order", ("asc", "desc"))
    files = [file for file in world.files.listed("openai") if purpose in (None, file.purpose)]
    return reply(page(files if order == "asc" else files[::-1], query, most=10_000, default=10_000, render=_render))


async def delete(world: World, call: Call) -> Response:
    """``DELETE /v1/files/{file_id}``"""
    file = _find(world, call)
    world.files.delete(file)
    return reply({"id": file.id, "object": "file", "deleted": True})


async def content(world: World, call: Call) -> Response:
    """``GET /v1/files/{file_id}/content``: with a strong ETag, so that a cut download can be resumed."""
    file = _find(world, call)
    return FileResponse(world.files.path(file.id), media_type="application/octet-stream", filename=file.filename)


def _find(world: World, call: Call) -> StoredFile:
    file = world.files.get(call.params["file_id"])
    if file is None or file.vendor != "openai":
        raise OpenAIError(404, f"No such File object: {call.params['file_id']}", param="id")
    return file


def _render(file: StoredFile) -> dict[str, Any]:
    return file.openai()
