"""The command `pvesim`: reads the seed, makes the certificates, serves until it is told to end.

When ready it prints one JSON line: the URL of each node, the file with the CA's certificate, the values of the tokens.
SIGTERM and SIGINT end it; `--exit-on-eof` ends it when its standard input closes, so that it does not outlive the
program that started it. SIGHUP reads the faults again and prints `{"faults": "read"}`. With `--log` every call is one
JSON line, written before its answer is sent: `{method, path, params, status, user, node, write, upid, fault}`; `params`
are the names, `status` is 0 where no answer was sent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from pvesim.backends.lxc.needs import NeedsError
from pvesim.cluster.seed import SeedError
from pvesim.errors import TaskFailed
from pvesim.faults import FaultError


def main() -> NoReturn:
    """Exit status 0 after a clean end, 2 where the options, the seed or the faults are wrong."""
    if sys.argv[1:2] and sys.argv[1] in ("template", "doctor", "clean"):
        from pvesim import tools

        sys.exit(tools.main(sys.argv[1:]))
    options = _options()
    home = options.state or Path(tempfile.mkdtemp(prefix="pvesim-"))
    try:
        asyncio.run(_serve(options, home))
    except (SeedError, FaultError, NeedsError, TaskFailed, OSError) as error:
        print(f"pvesim: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    finally:
        if not options.state:
            shutil.rmtree(home, ignore_errors=True)
    sys.exit(0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="pvesim",
        description="The Proxmox VE API on one machine.",
        epilog="Other commands, each with its own --help: pvesim template, pvesim doctor, pvesim clean.",
    )
    parser.add_argument("--seed", type=Path, metavar="FILE", help="the state to begin with (default: one node)")
    parser.add_argument("--port", type=int, default=8006, help="of the first node, the others follow; 0: free ports")
    parser.add_argument("--state", type=Path, metavar="DIR", help="where the state survives a restart")
    parser.add_argument("--speed", choices=["instant", "real"], default="instant", help="whether work takes its time")
    parser.add_argument("--faults", type=Path, metavar="FILE", help="scripted trouble, read again at SIGHUP")
    parser.add_argument("--log", type=Path, metavar="FILE", help="one JSON line for each call")
    parser.add_argument("--backend", choices=["record", "lxc"], default="record", help="what containers are made of")
    parser.add_argument("--ssh-key", type=Path, metavar="FILE", help="public keys for the nodes' SSH (--backend lxc)")
    parser.add_argument("--exit-on-eof", action="store_true", help="end when standard input closes")
    return parser.parse_args()


async def _serve(options: argparse.Namespace, home: Path) -> None:
    from pvesim.run import Simulator  # the rest is needed only here: `--help` stays quick

    loop, end = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    simulator = Simulator(
        home,
        options.seed,
        options.faults,
        options.log,
        real=options.speed == "real",
        keep=options.state is not None,
        containers=options.backend == "lxc",
        ssh_key=options.ssh_key,
    )
    urls = await simulator.start(options.port)

    def read_faults() -> None:
        try:
            simulator.faults.load()
            _say({"faults": "read"})
        except FaultError as error:
            _say({"faults": str(error)})

    loop.add_signal_handler(signal.SIGHUP, read_faults)
    if options.exit_on_eof:
        await loop.connect_read_pipe(lambda: _UntilEof(end), sys.stdin)
    _say({"nodes": urls, "cafile": str(simulator.cafile), "tokens": simulator.tokens()} | simulator.ready())
    await end.wait()
    await simulator.stop()


class _UntilEof(asyncio.Protocol):
    def __init__(self, end: asyncio.Event) -> None:
        self._end = end

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.set()


def _say(line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
