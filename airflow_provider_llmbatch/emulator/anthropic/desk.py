"""Anthropic's desk: answers the requests of a batch (WIRE_EXAMPLES §2.3)."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from airflow_provider_llmbatch.emulator import row_faults
from airflow_provider_llmbatch.emulator.anthropic import messages
from airflow_provider_llmbatch.emulator.anthropic.params import Rules, Turn
from airflow_provider_llmbatch.emulator.batch import Batch, Checked, Ended
from airflow_provider_llmbatch.emulator.faults import Fault
from airflow_provider_llmbatch.emulator.ids import digest, letters
from airflow_provider_llmbatch.emulator.lifecycle import Phase
from airflow_provider_llmbatch.emulator.row_faults import RowFaults
from airflow_provider_llmbatch.emulator.wire import ERROR_STATUS, AnthropicError
from airflow_provider_llmbatch.emulator.work import Answer
from airflow_provider_llmbatch.emulator.world import World

_log = logging.getLogger(__name__)
_LEFT_OVER = {Phase.EXPIRED: "expired", Phase.CANCELLED: "canceled"}


class _Request(msgspec.Struct):
    custom_id: str
    params: msgspec.Raw


class Desk:
    """Answers Anthropic's batches."""

    apart = False

    def __init__(self, world: World) -> None:
        self.world = world
        self.decoder = msgspec.json.Decoder(_Request)

    def check(self, batch: Batch) -> Checked:
        """Find nothing: the envelope was checked when the batch was created."""
        return Checked(at=0.0, total=batch.created.total)

    def open(self, batch: Batch) -> Session:
        """Begin to answer *batch*."""
        return Session(self, batch)

    def publish(self, batch: Batch, ended: Ended) -> None:
        """Do nothing: the results are served from the folder of the batch."""

    def left_over(self, batch: Batch, position: int, request: bytes, end: Phase) -> bytes:
        """Return the line for a request that never ran."""
        return _encode(self.decoder.decode(request).custom_id, {"type": _LEFT_OVER[end]})


class Session:
    """The answering of one batch."""

    def __init__(self, desk: Desk, batch: Batch) -> None:
        world, details = desk.world, batch.created.details
        self.desk = desk
        self.batch = batch
        self.rules = rules(world, in_batch=True, version=details["version"], betas=tuple(details["betas"]))
        self.faults = RowFaults(batch.created.faults, seed=world.options.seed, asked=world.asked)
        self.tier = "standard" if batch.fault("full_price") else "batch"

    def answer(self, position: int, request: bytes, now: float) -> Answer:
        """Answer one request, whose turn comes at *now*."""
        asked = self.desk.decoder.decode(request)
        mark = digest(self.desk.world.options.seed, self.batch.id, position)
        fault = self.faults.choose(asked.custom_id, request)
        try:
            answer = self._answer(asked, mark, now, fault)
        except Exception:
            _log.exception("A mistake of the emulator's own in request %d of %s", position, self.batch.id)
            answer = _errored(asked, mark, AnthropicError(500, "The emulator made a mistake: see its log."))
        if fault and fault.row in row_faults.SPOILS:
            foreign = _encode(f"foreign-{mark[:8]}", {"type": "expired"})
            return answer._replace(line=row_faults.spoil(fault.row, answer.line, foreign))
        return answer

    def _answer(self, asked: _Request, mark: str, now: float, fault: Fault | None) -> Answer:
        kind = fault.row if fault else ""
        world = self.desk.world
        if kind == row_faults.EXPIRED:
            return Answer(_encode(asked.custom_id, {"type": "expired"}), ok=False)
        try:
            if fault and row_faults.is_error(kind):
                raise row_error(fault)
            question = messages.read(msgspec.json.decode(asked.params), self.rules)
        except AnthropicError as error:
            return _errored(asked, mark, error)
        twist = kind if kind in row_faults.TWISTS else ""
        message, usage = messages.write(question, Turn(world.options, world.cache, mark, now, self.tier, twist))
        if kind == row_faults.EMPTY:
            message |= {"content": []}
        return Answer(_encode(asked.custom_id, {"type": "succeeded", "message": message}), ok=True, usage=usage)


def rules(world: World, *, in_batch: bool, version: str, betas: tuple[str, ...]) -> Rules:
    """Return what bodies are checked against."""
    return Rules(world.options, lambda file_id: world.files.get(file_id) is not None, in_batch, version, betas)


def row_error(fault: Fault) -> AnthropicError:
    """Make the error that a fault wants for a row."""
    name = fault.code if fault.row == "error" else fault.row
    status = fault.status or ERROR_STATUS.get(name, 400)
    text = fault.message or f"The emulator was asked to fail this request with {name or status}."
    details = {"error_code": fault.details} if fault.details else None
    return AnthropicError(status, text, type=name, details=details)


def _errored(asked: _Request, mark: str, error: AnthropicError) -> Answer:
    body = error.body(f"req_01{letters(mark[:40], 22)}")
    return Answer(_encode(asked.custom_id, {"type": "errored", "error": body}), ok=False)


def _encode(custom_id: str, result: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"custom_id": custom_id, "result": result})
