"""OpenAI's desk: answers the lines of a batch (WIRE_EXAMPLES §1.5 to §1.8)."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from airflow_provider_llmbatch.emulator import row_faults
from airflow_provider_llmbatch.emulator.batch import Batch, Checked, Ended
from airflow_provider_llmbatch.emulator.faults import Fault
from airflow_provider_llmbatch.emulator.files import BATCH_FILE_SECONDS, StoredFile
from airflow_provider_llmbatch.emulator.ids import digest, make_id
from airflow_provider_llmbatch.emulator.lifecycle import Phase
from airflow_provider_llmbatch.emulator.openai.check import Line, check
from airflow_provider_llmbatch.emulator.openai.endpoints import ENDPOINTS
from airflow_provider_llmbatch.emulator.openai.params import Rules, Turn
from airflow_provider_llmbatch.emulator.row_faults import RowFaults
from airflow_provider_llmbatch.emulator.usage import NOTHING, Usage
from airflow_provider_llmbatch.emulator.wire import ANTHROPIC_STATUS, ERROR_STATUS, ApiError, OpenAIError
from airflow_provider_llmbatch.emulator.work import ERROR, OUTPUT, Answer
from airflow_provider_llmbatch.emulator.world import World

_log = logging.getLogger(__name__)
LEFT_OVER = {
    Phase.EXPIRED: ("batch_expired", "This request could not be executed before the completion window expired."),
    Phase.CANCELLED: ("batch_cancelled", "This request was cancelled."),
}


class Desk:
    """Answers OpenAI's batches."""

    apart = True

    def __init__(self, world: World) -> None:
        self.world = world
        self.decoder = msgspec.json.Decoder(Line)

    @property
    def rules(self) -> Rules:
        """What the lines are checked against."""
        return rules(self.world, in_batch=True)

    def check(self, batch: Batch) -> Checked:
        """Validate the input file."""
        return check(batch, self.rules)

    def open(self, batch: Batch) -> Session:
        """Begin to answer *batch*."""
        return Session(self, batch)

    def left_over(self, batch: Batch, position: int, request: bytes, end: Phase) -> bytes:
        """Return the line for a request that never ran."""
        code, message = LEFT_OVER[end]
        mark = digest(self.world.options.seed, batch.id, position)
        return never_ran(mark, self.decoder.decode(request).custom_id, code, message)

    def publish(self, batch: Batch, ended: Ended) -> None:
        """Put the result files where files are; an empty one is no file at all."""
        lives = batch.created.details.get("output_lives") or BATCH_FILE_SECONDS
        for name in (OUTPUT, ERROR):
            source = batch.folder / f"result.{name}"
            hidden = name == OUTPUT and batch.fault("no_output_file")
            if source.stat().st_size == 0 or hidden:
                continue
            files = self.world.files
            file_id = make_id("file", self.world.options.seed, batch.id, name)
            files.add(
                source,
                StoredFile(
                    id=file_id,
                    vendor="openai",
                    number=len(files.by_id) + 1,
                    bytes=source.stat().st_size,
                    filename=f"{batch.id}_{name}.jsonl",
                    purpose="batch_output",
                    created_at=self.world.clock.wall(ended.at),
                    watch=0.0,
                    born=ended.at,
                    lives=lives,
                ),
            )
            ended.files[name] = file_id


class Session:
    """The answering of one batch."""

    def __init__(self, desk: Desk, batch: Batch) -> None:
        world = desk.world
        self.desk = desk
        self.batch = batch
        self.endpoint = ENDPOINTS[batch.created.details["endpoint"]]
        self.rules = desk.rules
        self.faults = RowFaults(batch.created.faults, seed=world.options.seed, asked=world.asked)
        self.created = int(batch.created.created_at)

    def answer(self, position: int, request: bytes, now: float) -> Answer:
        """Answer one request, whose turn comes at *now*."""
        line = self.desk.decoder.decode(request)
        mark = digest(self.desk.world.options.seed, self.batch.id, position)
        fault = self.faults.choose(line.custom_id, request)
        try:
            answer = self._answer(line, mark, now, fault)
        except Exception:
            _log.exception("A mistake of the emulator's own in request %d of %s", position, self.batch.id)
            broken = OpenAIError(500, "The emulator made a mistake: see its log.")
            answer = self._line(mark, line.custom_id, 500, broken.body(None), ok=False)
        if fault and fault.row in row_faults.SPOILS:
            foreign = self._line(mark, f"foreign-{mark[:8]}", 200, {}, ok=True).line
            return answer._replace(line=row_faults.spoil(fault.row, answer.line, foreign))
        return answer

    def _answer(self, line: Line, mark: str, now: float, fault: Fault | None) -> Answer:
        kind = fault.row if fault else ""
        if kind == row_faults.EXPIRED:
            return Answer(never_ran(mark, line.custom_id, *LEFT_OVER[Phase.EXPIRED]), ok=False)
        if kind == row_faults.STATUS_0:
            response = {"status_code": 0, "request_id": "", "body": None}
            return Answer(_encode(mark, line.custom_id, response), ok=True)
        world = self.desk.world
        twist = kind if kind in row_faults.TWISTS else ""
        try:
            if fault and row_faults.is_error(kind):
                raise row_error(fault)
            ask = self.endpoint.read(line.body, self.rules)
            turn = Turn(world.options, world.cache, mark, now, self.created, twist)
            body, usage = self.endpoint.write(ask, turn)
        except ApiError as error:
            return self._line(mark, line.custom_id, error.status, error.body(None), ok=False)
        if kind == row_faults.EMPTY:
            return self._line(mark, line.custom_id, 200, {}, ok=True)
        return self._line(mark, line.custom_id, 200, body, ok=True, usage=usage)

    def _line(
        self, mark: str, custom_id: str, status: int, body: dict[str, Any], *, ok: bool, usage: Usage = NOTHING
    ) -> Answer:
        response = {"status_code": status, "request_id": f"req_{mark[32:]}", "body": body}
        return Answer(_encode(mark, custom_id, response), ok, usage)


def rules(world: World, *, in_batch: bool) -> Rules:
    """Return what bodies are checked against."""
    return Rules(world.options, lambda file_id: world.files.get(file_id) is not None, in_batch)


def row_error(fault: Fault) -> OpenAIError:
    """Make the error that a fault wants for a row."""
    name = fault.code if fault.row == "error" else fault.row
    status = fault.status or ERROR_STATUS.get(name, 400)
    text = fault.message or f"The emulator was asked to fail this request with {name or status}."
    # What is a type and no code shows in the type, which the status decides.
    is_type = name == "server_error" or name in ANTHROPIC_STATUS
    return OpenAIError(status, text, code=None if is_type else name or None)


def never_ran(mark: str, custom_id: str, code: str, message: str) -> bytes:
    """Return the line of a request that has no response."""
    return _encode(mark, custom_id, None, {"code": code, "message": message})


def _encode(mark: str, custom_id: str, response: Any, error: Any = None) -> bytes:
    return msgspec.json.encode(
        {"id": f"batch_req_{mark[:32]}", "custom_id": custom_id, "response": response, "error": error}
    )
