"""Errors that a person is meant to read.

Every public error of the project is a `DiffChatError` whose message carries the bad value and what
to do about it.  Each leaf also inherits the stdlib error it refines, so that callers who know
nothing of us can still catch it.  Exceptions propagate; code catches one only to add context or
to record a row.
"""


class DiffChatError(Exception):
    """Base class: `app` prints its message without a traceback and exits with `exit_code`."""

    exit_code = 1


class SettingsError(DiffChatError, ValueError):
    """A profile, a `DIFFCHAT_*` variable or a flag is wrong."""

    exit_code = 2


class SourceError(DiffChatError, ValueError):
    """A source of raw prompts, cases or triples cannot be read as asked."""

    exit_code = 2


class WarehouseError(DiffChatError, RuntimeError):
    """The lake cannot be opened, migrated, read or committed to."""

    exit_code = 3


class TeacherError(DiffChatError, RuntimeError):
    """The teacher's endpoint cannot be used at all (one failed call is a row, no error)."""

    exit_code = 4


class BudgetExceeded(DiffChatError, RuntimeError):
    """The cap on tokens or money is reached; what was bought is kept."""

    exit_code = 5


class ModelError(DiffChatError, ValueError):
    """A checkpoint folder is missing, corrupt, of the wrong kind or does not fit its use."""

    exit_code = 6


class PromptTooLong(DiffChatError, ValueError):
    """A prompt has more tokens than the text encoder takes; never cut in silence."""

    exit_code = 2


class AuditFailed(DiffChatError, RuntimeError):
    """The Great Expectations audit failed: nothing was published."""

    exit_code = 7


class StackError(DiffChatError, RuntimeError):
    """The background Prefect server, its deployments or its worker cannot be started or stopped."""

    exit_code = 8


class TrainingError(DiffChatError, RuntimeError):
    """A training cannot start or go on; the last good checkpoint is kept."""

    exit_code = 9


class ChatError(DiffChatError, ValueError):
    """A turn, an upload or a saved session that cannot be taken; the session stays as it was."""

    exit_code = 2


class Cancelled(DiffChatError, RuntimeError):
    """The person stopped a turn before it was done."""

    exit_code = 130


class EndpointError(DiffChatError, ConnectionError):
    """The endpoint that writes or describes is away, refuses, or answers what cannot be read."""

    exit_code = 4
