"""From one result line to a verdict: what the vendor says, held against what the task asked for."""

from __future__ import annotations

import json

import msgspec

from airflow_provider_llmbatch.core.jsonl import UNREADABLE
from airflow_provider_llmbatch.core.results import INVALID_OUTPUT, Line, Result, not_answered
from airflow_provider_llmbatch.engine.job import Job

_line = msgspec.json.Decoder(Line).decode


def name_in(line: bytes) -> str | None:
    """Return the custom id of a result line, or ``None`` if the line is damaged."""
    try:
        return _line(line).custom_id
    except UNREADABLE:
        pass
    try:
        return _line(_mended(line)).custom_id
    except (ValueError, *UNREADABLE):
        return None


def _mended(line: bytes) -> bytes:
    """Replace half characters: a model may write an escape like ``\\ud83d`` alone, and its answer is paid for."""
    return json.dumps(json.loads(line), ensure_ascii=False).encode("utf-8", "replace")


def read_named(job: Job, line: bytes) -> tuple[str | None, Result | None]:
    """Return the custom id and the result of one line; neither, if the line is damaged."""
    plain = job.hook.read_plain(line)
    if plain is not None:
        return plain if job.takes_text else (plain[0], _judged(job, plain[1]))
    name = name_in(line)
    return name, None if name is None else _read_with_care(job, line)


def read(job: Job, line: bytes) -> Result:
    """Read one line; one that is JSON and still makes no sense is a bad row, not the end of the job."""
    plain = job.hook.read_plain(line)
    return _read_with_care(job, line) if plain is None else _judged(job, plain[1])


def _read_with_care(job: Job, line: bytes) -> Result:
    try:
        result = _parsed(job, line)
    except (AttributeError, LookupError, TypeError, ValueError, *UNREADABLE) as error:
        return not_answered(
            "errored", "unreadable", f"The result line makes no sense ({type(error).__name__}).", "retry"
        )
    return _judged(job, result) if result.status == "succeeded" else result


def _parsed(job: Job, line: bytes) -> Result:
    try:
        result = job.hook.parse(line)
    except msgspec.MsgspecError:
        result = job.hook.parse(_mended(line))
    facts = msgspec.structs.replace(result, output=None)  # hooks pass on what they were sent
    return msgspec.structs.replace(msgspec.convert(msgspec.to_builtins(facts), Result), output=result.output)


def _judged(job: Job, result: Result) -> Result:
    """Put a good answer into the form that the task asked for; one that does not fit is invalid, and is kept."""
    if job.takes_text and result.tool_calls is None:
        return result
    if result.tool_calls is not None or job.validate is None:
        calls = msgspec.to_builtins(result.tool_calls or [])
        return msgspec.structs.replace(result, output={"text": result.output, "tool_calls": calls})
    try:
        value = job.validate(result.output if isinstance(result.output, str) else "")
    except ValueError as error:
        return msgspec.structs.replace(
            result, status="invalid", error_code=INVALID_OUTPUT, error_message=str(error), remedy="change"
        )
    return msgspec.structs.replace(result, output=value)
