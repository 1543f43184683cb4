"""The last line of defence: whatever goes wrong inside, people get a sentence and programs an exit status."""

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from innkeeper.cli import program as cli
from innkeeper.engine.errors import Stalled


def raising(error: BaseException) -> Callable[..., NoReturn]:
    def run(**_: Any) -> NoReturn:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (Stalled("The door is shut", "Knock."), 1, "error: The door is shut\n    Knock.\n"),
        (FileNotFoundError(2, "Not there", "/proc/x"), 1, "error: /proc/x: Not there\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (asyncio.CancelledError(), 130, "Interrupted.\n"),
        (
            ZeroDivisionError("hunter2"),
            1,
            "error: Innkeeper made a mistake (ZeroDivisionError). Please report it with the output of the same command "
            "under INNKEEPER_DEBUG=1.\n",
        ),
    ],
)
def test_no_traceback(
    error: BaseException,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli, "app", raising(error))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == status
    assert capsys.readouterr().err == said


def test_a_trace_for_those_who_ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("INNKEEPER_DEBUG", "1")
    monkeypatch.setattr(cli, "app", raising(ZeroDivisionError("inside")))
    with pytest.raises(SystemExit):
        cli.main()
    assert "ZeroDivisionError: inside" in capsys.readouterr().err
