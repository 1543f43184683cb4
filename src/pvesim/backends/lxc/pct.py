"""`pct` as the nodes' SSH knows it: exec, push, pull, status, list (PVE::CLI::pct)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pvesim.backends.lxc.backend import LxcBackend
from pvesim.cluster.state import Cluster, Guest
from pvesim.errors import ApiError, TaskFailed

if TYPE_CHECKING:
    import asyncssh

    Process = asyncssh.SSHServerProcess[bytes]

_STDIN = "/dev/stdin"
_CHUNK = 2**16


class _Usage(Exception):
    pass


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Usage(message)


async def run(cluster: Cluster, backend: LxcBackend, node: str, files: Path, words: list[str], process: Process) -> int:
    """Carry out one command line; returns its exit status. `files` is the directory of the node's own files."""
    if not words:
        process.stderr.write(b"pvesim: this node has no shell, only pct\n")
        return 1
    if words[0] in ("true", "/bin/true", "exit"):
        return 0
    if words[0].rpartition("/")[2] != "pct":
        process.stderr.write(f"bash: line 1: {words[0]}: command not found\n".encode())
        return 127
    try:
        return await _pct(cluster, backend, node, files, words[1:], process)
    except (ApiError, TaskFailed, OSError, _Usage) as error:
        process.stderr.write(f"{error}\n".encode())
        return 255 if isinstance(error, (ApiError, _Usage)) else 1


async def _pct(
    cluster: Cluster, backend: LxcBackend, node: str, files: Path, words: list[str], process: Process
) -> int:
    verb, rest = (words[0], words[1:]) if words else ("", [])
    if verb == "list":
        process.stdout.write(_listed(cluster, node))
        return 0
    if not rest or not rest[0].isdigit():
        raise _Usage(f"400 not enough arguments\npct {verb} <vmid>")
    guest = cluster.guest(node, "lxc", int(rest[0]))
    if verb == "status":
        process.stdout.write(b"status: running\n" if guest.running is not None else b"status: stopped\n")
        return 0
    if guest.running is None:
        raise TaskFailed(f"CT {guest.vmid} not running")
    if verb == "exec":
        command = rest[rest.index("--") + 1 :] if "--" in rest else rest[1:]
        if not command:
            raise _Usage("400 not enough arguments\npct exec <vmid> [<extra-args>]")
        return await _exec(backend.attach(guest, command), process)
    if verb == "push":
        return await _push(backend, guest, files, rest[1:], process)
    if verb == "pull":
        return await _pull(backend, guest, files, rest[1:], process)
    raise _Usage(f"ERROR: unknown command 'pct {verb}'")


def _listed(cluster: Cluster, node: str) -> bytes:
    lines = [f"{'VMID':<10} {'Status':<10} {'Lock':<12} Name"]
    for guest in sorted(cluster.guests.values(), key=lambda guest: guest.vmid):
        if guest.kind == "lxc" and guest.node == node:
            state = "stopped" if guest.running is None else "running"
            lock, name = guest.config.get("lock", ""), guest.config.get("hostname", "")
            lines.append(f"{guest.vmid:<10} {state:<10} {lock:<12} {name}")
    return ("\n".join(lines) + "\n").encode()


async def _exec(command: list[str], process: Process) -> int:
    """Run a command with the client's own three streams, for as long as the client stays."""
    inner = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert inner.stdin
    feeding = asyncio.create_task(_feed(process.stdin, inner.stdin))
    try:
        await asyncio.gather(_carry(inner.stdout, process.stdout), _carry(inner.stderr, process.stderr))
        return await inner.wait()
    finally:
        feeding.cancel()
        if inner.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                inner.kill()
            await inner.wait()


async def _feed(source: Any, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(_CHUNK):
            sink.write(data)
            await sink.drain()
    with contextlib.suppress(OSError):
        sink.close()


async def _carry(source: asyncio.StreamReader | None, sink: Any) -> None:
    while source and (data := await source.read(_CHUNK)):
        sink.write(data)
        await sink.drain()


async def _push(backend: LxcBackend, guest: Guest, files: Path, words: list[str], process: Process) -> int:
    parser = _Parser(prog="pct push", add_help=False)
    parser.add_argument("file")
    parser.add_argument("destination")
    for name in ("perms", "user", "group"):
        parser.add_argument(f"--{name}", f"-{name}", default="")
    wanted = parser.parse_args(words)
    if wanted.file == _STDIN:
        content = b""
        while data := await process.stdin.read(_CHUNK):
            content += data
    else:
        content = await asyncio.to_thread(_own(files, wanted.file).read_bytes)
    script = 'cat > "$1" && { [ -z "$2" ] || chmod "$2" "$1"; } && { [ -z "$3" ] || chown "$3" "$1"; }'
    owner = f"{wanted.user}:{wanted.group}".strip(":") if not wanted.group else f"{wanted.user}:{wanted.group}"
    inner = ["sh", "-c", f"umask 022; {script}", "sh", wanted.destination, wanted.perms, owner]
    code, _, complaint = await backend.exec_bytes(guest, inner, content)
    process.stderr.write(complaint)
    return code


async def _pull(backend: LxcBackend, guest: Guest, files: Path, words: list[str], process: Process) -> int:
    parser = _Parser(prog="pct pull", add_help=False)
    parser.add_argument("path")
    parser.add_argument("destination")
    wanted = parser.parse_args(words)
    code, content, complaint = await backend.exec_bytes(guest, ["cat", wanted.path], b"")
    process.stderr.write(complaint)
    if not code and wanted.destination == "/dev/stdout":
        process.stdout.write(content)
    elif not code:
        await asyncio.to_thread(_own(files, wanted.destination).write_bytes, content)
    return code


def _own(files: Path, path: str) -> Path:
    """A path on the node, below the directory of the node's files."""
    found = (files / path.lstrip("/")).resolve()
    if not found.is_relative_to(files.resolve()):
        raise TaskFailed(f"{path}: not a file of this node")
    return found
