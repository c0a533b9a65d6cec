"""Everything this package raises on purpose.

Two questions decide the tree: was money spent, and will trying again help?

    LLMBatchError
    ├── InputError (ValueError)       before anything was sent; no retry helps
    │   ├── RequestTooLargeError · UnknownVendorError · TemplateError · SourceError · OutputError · ChangedError
    ├── VendorError                   the vendor, or the way to it, said no
    │   ├── RejectedError             4xx or failed validation: nothing was created; no retry of the same helps
    │   │   ├── CredentialError       401, 403: fix the connection
    │   │   ├── BudgetExhaustedError  spend limit or quota: raise the budget
    │   │   └── NotFoundError         404
    │   ├── BusyError                 429: nothing was created; the same call helps later
    │   └── UnavailableError          5xx, timeout, reset: the call may or may not have been carried out
    ├── RunError                      after submission; the message names what is kept
    │   ├── DeadlineError · CancelledError · IncompleteError · TransferError
    ├── CostCapError                  the job would cost more than max_cost_usd: raise it, or ask less
    └── ManifestError                 a document is there and cannot be read: never the same as "not there"

A message says what happened, which ids, what is kept, and what the next try will do.
"""

from __future__ import annotations

from typing import Any


class LLMBatchError(Exception):
    """Base of everything that this package raises on purpose.

    :param message: The whole text for a person.
    :param context: Machine-readable facts, kept in :attr:`context`; they survive pickling.
    """

    def __init__(self, message: str, **context: Any) -> None:
        super().__init__(message)
        self.message = message
        self.context = context

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.context)


def _rebuild(cls: type[LLMBatchError], message: str, context: dict[str, Any]) -> LLMBatchError:
    return cls(message, **context)


class InputError(LLMBatchError, ValueError):
    """What was asked cannot be asked. Raised before anything is sent; no retry of the same helps."""


class RequestTooLargeError(InputError):
    """One request alone exceeds what a batch of the vendor may hold."""


class UnknownVendorError(InputError):
    """The part before the colon in ``model`` is not a registered vendor."""


class TemplateError(InputError):
    """A template is malformed, or asks for a field that a record does not have."""


class SourceError(InputError):
    """The source is missing, empty, or holds something that is not a record."""


class OutputError(InputError):
    """The output cannot be written where it was asked for."""


class ChangedError(InputError):
    """The job folder holds another question, and ``on_change`` says to stop."""


class VendorError(LLMBatchError):
    """The vendor, or the way to it, said no.

    :ivar status: HTTP status, or ``None`` where there was no answer.
    :ivar code: The vendor's own error code or type.
    :ivar retry_after: Seconds that the vendor asked us to wait, or ``None``.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        **context: Any,
    ) -> None:
        super().__init__(message, status=status, code=code, retry_after=retry_after, **context)
        self.status = status
        self.code = code
        self.retry_after = retry_after


class RejectedError(VendorError):
    """A clear no: nothing was created, and the same call will be refused again."""


class CredentialError(RejectedError):
    """The key or account may not do this. Fix the connection; nothing else helps."""


class BudgetExhaustedError(RejectedError):
    """The account's spend limit or quota is used up. Raise it; nothing else helps."""


class NotFoundError(RejectedError):
    """The vendor does not know the id (yet: both vendors' reads can lag behind a create)."""


class BusyError(VendorError):
    """A clear *not now* (429): nothing was created, and the same call helps later."""


class UnavailableError(VendorError):
    """No answer or a 5xx. For a call that creates something, **it may have been created**."""


class RunError(LLMBatchError):
    """Something went wrong after a submission. The message names what is kept."""


class DeadlineError(RunError):
    """The job's time is over and batches are still running at the vendor."""


class CancelledError(RunError):
    """The job was cancelled. What had finished is kept."""


class IncompleteError(RunError):
    """Every record has its row, but too few rows are good."""


class TransferError(RunError):
    """A download was cut short or does not have the announced size. Nothing was landed."""


class CostCapError(LLMBatchError):
    """The job would cost more than ``max_cost_usd``, or nobody can say what it would. What was paid for is kept."""


class ManifestError(LLMBatchError):
    """A document of the job folder exists and cannot be read. This never leads to a submission."""
