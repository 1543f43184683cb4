"""Other programs: run with a bound, their output in hand."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from pvesim.errors import TaskFailed

PATIENCE = 30.0


@dataclass(frozen=True)
class Outcome:
    """How a program ended."""

    status: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode(errors="replace")

    @property
    def complaint(self) -> str:
        """The last line of what it complained about."""
        lines = (self.err or self.out).decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {self.status}"


async def run(*command: str, stdin: bytes = b"", timeout: float = PATIENCE) -> Outcome:
    """Run it to its end; TaskFailed when it is missing or takes longer than `timeout` seconds."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise TaskFailed(f"{command[0]} is missing: run `pvesim doctor`") from error
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin), timeout)
    except TimeoutError as error:
        raise TaskFailed(f"command '{' '.join(command[:4])} …' did not end within {timeout:g} s") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return Outcome(process.returncode or 0, out, err)


async def must(*command: str, stdin: bytes = b"", timeout: float = PATIENCE) -> Outcome:
    """The same; TaskFailed also when it fails."""
    done = await run(*command, stdin=stdin, timeout=timeout)
    if done.status:
        raise TaskFailed(f"command '{' '.join(command)}' failed: {done.complaint}")
    return done
