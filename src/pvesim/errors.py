"""The two ways in which work on the simulated cluster ends badly: an answer with an error, a task with an error."""

from __future__ import annotations


class ApiError(Exception):
    """An HTTP answer of 400 or more: its status, its text (no trailing newline) and the text per parameter."""

    def __init__(self, status: int, message: str, errors: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors


class TaskFailed(Exception):
    """Ends a task; the text becomes its exit status (PVE::RESTEnvironment, fork_worker)."""


def died(error: ApiError | TaskFailed) -> str:
    """The text that a task ends with: of an answer with a status of its own, also that (PVE::Exception::stringify)."""
    if isinstance(error, TaskFailed) or error.status == 500:
        return str(error)
    return "\n".join(
        [f"{error.status} {error.message}", *(f"{key}: {text}" for key, text in (error.errors or {}).items())]
    )


def param_error(**errors: str) -> ApiError:
    """400 for parameters whose trouble only the handler can see; `_` in a name stands for `-` unless it has one."""
    return ApiError(
        400, "Parameter verification failed.", {name.replace("_", "-"): text for name, text in errors.items()}
    )
