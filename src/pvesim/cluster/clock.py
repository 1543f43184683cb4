"""Time in the simulated cluster: real, or one in which no task takes any."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """`real=False` (`--speed instant`): durations cost nothing; `sleep` does not even yield: a task runs in one go."""

    def __init__(self, *, real: bool = False) -> None:
        self.real = real

    def now(self) -> float:
        """Seconds since the epoch, as the machine has them: clients compare them with their own clock."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Take `seconds`, the duration that the real thing would need."""
        if self.real:
            await asyncio.sleep(seconds)
