"""Wall seconds, peak memory and output of one command, measured from outside."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.world import environment


@dataclass(frozen=True, slots=True)
class Run:
    seconds: float
    peak: int
    """Peak resident memory of the process in bytes."""
    output: str
    cpu: float = 0.0
    """Seconds of CPU of the process and of all that it waited for."""


def run(command: Sequence[str | Path], ok: Sequence[int] = (0,), cwd: Path | None = None) -> Run:
    """Run a command to its end; another exit status than `ok` ends the benchmark with the command's own words."""
    start = time.perf_counter()
    words = [str(part) for part in command]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd, env=environment()
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in ok:
        sys.exit(f"{' '.join(words)} ended with {process.returncode}:\n{output[-4000:]}")
    return Run(time.perf_counter() - start, usage.ru_maxrss * 1024, output, usage.ru_utime + usage.ru_stime)
