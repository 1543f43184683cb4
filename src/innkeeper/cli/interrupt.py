"""Ctrl-C while guests are being changed: once to stop at a safe point, twice to leave."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def safe_stop(say: Callable[[str], None]) -> Iterator[asyncio.Event]:
    """The event is set at the first SIGINT or SIGTERM; the second cancels the running task."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    task = asyncio.current_task()

    def interrupted() -> None:
        if stop.is_set() and task is not None:
            say("Left at once: calls that were sent may still take effect. The next apply looks and goes on.")
            task.cancel()
            return
        stop.set()
        say("Stopping once the calls that run are done; press Ctrl-C again to leave at once.")

    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, interrupted)
    try:
        yield stop
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
            if stop.is_set():
                # One more Ctrl-C while we say goodbye must not end in the middle of a sentence.
                signal.signal(number, signal.SIG_IGN)
