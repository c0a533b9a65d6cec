"""Validation of a whole batch file: one bad line fails the batch, and nothing runs (FACTS §1.4)."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import msgspec

from airflow_provider_llmbatch.emulator.batch import Batch, Checked
from airflow_provider_llmbatch.emulator.openai import models
from airflow_provider_llmbatch.emulator.openai.endpoints import ENDPOINTS
from airflow_provider_llmbatch.emulator.openai.params import Rules
from airflow_provider_llmbatch.emulator.work import save_offsets

MAX_ERRORS = 100
"""Errors that a failed batch lists; reading goes on no further."""


class Line(msgspec.Struct):
    """The envelope of one request."""

    custom_id: Any = None
    method: Any = None
    url: Any = None
    body: Any = None


class _Refused(Exception):
    """A line that fails the batch."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.entry = {"code": code, "message": message, "param": param}


class Checker:
    """Reads a file line by line and remembers what it needs to compare.

    :param endpoint: The endpoint that the batch is for.
    """

    def __init__(self, endpoint: str, rules: Rules) -> None:
        self.endpoint = endpoint
        self.rules = rules
        self.decoder = msgspec.json.Decoder(Line)
        self.ids: set[str] = set()
        self.model: str | None = None
        self.tokens = 0
        self.inputs = 0
        self.errors: list[dict[str, Any]] = []

    def run(self, path: Path) -> array[int]:
        """Read the file; return where each line begins, and where the last one ends."""
        offsets = array("Q")
        at = 0
        with path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                offsets.append(at)
                at += len(line)
                self._try(number, line)
                if len(self.errors) >= MAX_ERRORS or number > self.rules.options.openai_max_requests:
                    break
        offsets.append(at if at and line.endswith(b"\n") else at + 1)
        self._check_totals(len(offsets) - 1)
        return offsets

    def _try(self, number: int, line: bytes) -> None:
        try:
            self._read(line)
        except _Refused as refused:
            self.errors.append({**refused.entry, "line": number})

    def _check_totals(self, count: int) -> None:
        options = self.rules.options
        if count == 0:
            self._fail("empty_file", "The input file has no lines. A batch needs at least one request.")
        elif count > options.openai_max_requests:
            self._fail("too_many_tasks", f"The batch has more than {options.openai_max_requests:,} requests.")
        elif self.inputs > options.openai_max_embedding_inputs:
            text = f"The batch has more than {options.openai_max_embedding_inputs:,} embedding inputs."
            self._fail("too_many_tasks", text)

    def _fail(self, code: str, message: str) -> None:
        self.errors.append({"code": code, "message": message, "param": None, "line": None})

    def _read(self, line: bytes) -> None:
        try:
            # A byte order mark is no JSON either: msgspec refuses it.
            request = self.decoder.decode(line)
        except (msgspec.DecodeError, RecursionError):
            raise _Refused("invalid_json_line", "This line is not parseable as valid JSON.") from None
        for name in ("custom_id", "method", "url", "body"):
            if getattr(request, name) is None:
                raise _Refused("missing_required_parameter", f"Missing required parameter: '{name}'.", name)
        if not isinstance(request.custom_id, str) or not isinstance(request.body, dict):
            raise _Refused("invalid_request", "'custom_id' must be a string and 'body' an object.")
        if request.method != "POST":
            raise _Refused("invalid_method", f"Invalid method: {request.method!r}. Only 'POST' is supported.", "method")
        if request.url != self.endpoint:
            text = f"The URL provided for this request does not match the batch endpoint: {self.endpoint}."
            raise _Refused("url_mismatch", text, "url")
        if request.custom_id in self.ids:
            text = "The custom_id for this request is a duplicate of another request."
            raise _Refused("duplicate_custom_id", text, "custom_id")
        self.ids.add(request.custom_id)
        self._read_body(request.body)

    def _read_body(self, body: dict[str, Any]) -> None:
        model = body.get("model") or ("omni-moderation-latest" if self.endpoint == "/v1/moderations" else None)
        if not isinstance(model, str):
            raise _Refused("missing_required_parameter", "Missing required parameter: 'body.model'.", "body.model")
        if self.model is None:
            self.model = model
            if not models.is_known(model, self.rules.options):
                text = f"The provided model '{model}' is not supported by the Batch API."
                raise _Refused("model_not_found", text, "body.model")
        if model != self.model:
            text = f"The batch has requests for '{self.model}' and for '{model}'. All must name the same model."
            raise _Refused("mismatched_model", text, "body.model")
        try:
            ask = ENDPOINTS[self.endpoint].read(body, self.rules)
        except Exception:
            return  # Whatever is wrong with a request fails it by itself, when its turn comes.
        self.tokens += ask.tokens
        self.inputs += getattr(ask, "count", 0)


def check(batch: Batch, rules: Rules) -> Checked:
    """Validate the input file of *batch*."""
    checker = Checker(batch.created.details["endpoint"], rules)
    offsets = checker.run(batch.folder / "requests")
    save_offsets(batch.folder, offsets)
    failing = batch.fault("fail")
    if failing:
        checker.errors = [{"code": failing, "message": f"The batch failed: {failing}.", "param": None, "line": None}]
    total = 0 if checker.errors else len(offsets) - 1
    return Checked(at=0.0, total=total, model=checker.model, tokens=checker.tokens, errors=checker.errors[:MAX_ERRORS])
