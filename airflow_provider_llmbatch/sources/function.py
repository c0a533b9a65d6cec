"""Records that a function of the user's returns or yields."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import PurePath
from traceback import walk_tb
from typing import Any

import msgspec

from airflow_provider_llmbatch._compat import AirflowException
from airflow_provider_llmbatch.exceptions import SourceError
from airflow_provider_llmbatch.sources import open_source
from airflow_provider_llmbatch.sources.inline import as_row
from airflow_provider_llmbatch.sources.tables import ArrowSource, is_arrow


class FunctionSource:
    """What a function returns or yields, consumed as a stream while the requests are written.

    It is called when the rows are wanted, and only then: a job that is prepared has its records already.

    :param function: The function, for its name and its source code.
    :param arguments: What the function is given in the DAG file.
    :param call: Calls it.
    """

    def __init__(self, function: Callable[..., Any], arguments: Any, call: Callable[[], Any]) -> None:
        self._function, self._arguments, self._call = function, arguments, call
        self._done = 0
        self._name = f"{getattr(function, '__qualname__', type(function).__name__).rpartition('.')[2]}()"

    def __repr__(self) -> str:
        return self._name

    def identity(self) -> dict[str, Any]:
        """Return digests of the function's source code and of its arguments, not of what it yields.

        A retry must find its job again although the world, and so the answer of the function, moved on.
        """
        arguments = msgspec.json.encode(self._arguments, enc_hook=_rendered, order="sorted")
        return {
            "kind": "function",
            "name": f"{getattr(self._function, '__module__', '')}.{self._name}",
            "sha256": sha256(_code(self._function).encode()).hexdigest(),
            "arguments": sha256(arguments).hexdigest(),
        }

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Call the function and yield its records.

        :raises SourceError: It failed; the message names the record's number and the error's type, not its text.
        """
        self._done = 0
        returned = self._guarded(self._call)
        self._check(returned)
        if isinstance(returned, Iterable) and not (
            isinstance(returned, str | Mapping | Sequence) or is_arrow(returned)
        ):
            rows = self._streamed(iter(returned))
        else:
            rows = (row for _, row in open_source(returned).rows())
        for row in rows:
            yield self._where, row
            self._done += 1

    @property
    def _where(self) -> str:
        return f"record {self._done + 1:,} of {self._name}"

    def _streamed(self, items: Iterator[Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of *items*, each of which is a record or a table of records."""
        end = object()
        while (item := self._guarded(lambda: next(items, end))) is not end:
            if is_arrow(item):
                yield from (row for _, row in ArrowSource(item).rows())
            else:
                yield as_row(item, self._where)

    def _check(self, returned: Any) -> None:
        if returned is None:
            raise SourceError(f"{self._name} returned nothing; return or yield the records. Nothing was sent.")
        if inspect.isawaitable(returned) or hasattr(returned, "__aiter__"):
            if inspect.iscoroutine(returned):
                returned.close()
            raise SourceError(f"{self._name} is asynchronous; write it with def, and yield. Nothing was sent.")

    def _guarded(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except AirflowException:
            raise  # the function says in Airflow's own words what is to happen: skip, fail, try again
        except Exception as error:
            raise SourceError(
                f"{self._name} raised {type(error).__name__}{_place(error, self._function)} at record "
                f"{self._done + 1:,}. Nothing was sent. Correct it, and clear the task.",
                function=self._name,
                record=self._done + 1,
            ) from None


def _place(error: BaseException, function: Callable[..., Any]) -> str:
    """Return where the error arose, in the function's own file if it passed there. Its text may quote a record."""
    steps = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    code = getattr(inspect.unwrap(function), "__code__", None)
    own = [step for step in steps if code and step[0] == code.co_filename] or steps
    return f" in {PurePath(own[-1][0]).name}, line {own[-1][1]}," if own else ""


def _code(function: Callable[..., Any]) -> str:
    """Return the function's text without its decorators: how often a task polls is no part of what it yields."""
    try:
        text = textwrap.dedent(inspect.getsource(function))
        return ast.get_source_segment(text, ast.parse(text).body[0]) or text
    except (OSError, TypeError, SyntaxError):  # made by exec, written in C, or a lambda amidst an expression
        return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__name__)}"


def _rendered(value: Any) -> Any:
    """Return what stands for an argument that JSON does not have; it must be the same in the next attempt."""
    if is_arrow(value):
        return ArrowSource(value).identity()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):  # what several mapped tasks returned, for one
        return list(value)
    return f"{type(value).__module__}.{type(value).__qualname__}"
