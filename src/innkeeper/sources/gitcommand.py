"""The git command, made harmless: no shell, no hooks, no helpers of this machine, one transport only.

Everything that git may do is said in one configuration file, the only one that it reads; it also reaches the processes
that git starts, which command line options do not.
"""

import asyncio
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from innkeeper.engine.errors import EngineError, Stalled, Waiting

SECONDS = 60.0
LARGEST_OUTPUT = 64 << 20
_PASSED = ("PATH", "LANG", "http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
_LATER = (
    "could not resolve host",
    "connection refused",
    "connection timed out",
    "connection reset",
    "operation timed out",
    "failed to connect",
    "couldn't connect",
    "network is unreachable",
    "no route to host",
    "early eof",
    "hung up unexpectedly",
    "the requested url returned error: 5",
    "the requested url returned error: 429",
    "rpc failed",
    "kex_exchange_identification",
    "temporary failure",
    "no answer within",
    "no space left",
    "cannot lock ref",
    "file size limit",
    "unable to write",
)
_CREDENTIALS = ("authentication failed", "permission denied", "could not read username", "error: 401", "error: 403")


@dataclass(frozen=True, slots=True)
class Login:
    """How to sign in to a git server; all of it is handed over in memory."""

    username: str = ""
    password: str = ""
    ssh_key: str = ""
    known_hosts: str = ""


NOBODY = Login()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    output: bytes
    errors: str

    @property
    def text(self) -> str:
        return self.output.decode(errors="replace").strip()


def configuration(url: str) -> str:
    """What git reads instead of the machine's and the user's own configuration."""
    schemes = {"https": "https://", "http": "http://", "ssh": "ssh://", "file": "/"}
    meant = next((name for name, start in schemes.items() if url.startswith(start)), "ssh")
    lines = [
        "[core]",
        "hooksPath = /dev/null",
        "fsmonitor = false",
        "symlinks = false",
        "protectNTFS = true",
        "protectHFS = true",
        "[protocol]",
        "allow = never",
        f'[protocol "{meant}"]',
        "allow = always",
        "[credential]",
        "helper =",
        "[http]",
        "followRedirects = false",
        "lowSpeedLimit = 1",
        "lowSpeedTime = 20",
        "[gc]",
        "autoDetach = false",
        "[submodule]",
        "recurse = false",
        "[advice]",
        "detachedHead = false",
    ]
    if meant == "file":
        escaped = url.replace("\\", "\\\\").replace('"', '\\"')
        lines += ["[safe]", f'directory = "{escaped}"', f'directory = "{escaped.rstrip("/")}/.git"']
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True, repr=False)
class Git:
    """Runs git on one bare repository. It has no repr: it holds a login."""

    directory: Path
    config: Path
    environ: Mapping[str, str]
    login: Login = NOBODY

    async def __call__(
        self,
        *words: str,
        stdin: bytes = b"",
        remote: bool = False,
        seconds: float = SECONDS,
        extra: Mapping[str, str] | None = None,
    ) -> Answer:
        """`remote`: sign in. Raises Waiting where git does not end within `seconds`."""
        with self._environment(remote=remote) as environ:
            return await _run(
                ["git", f"--git-dir={self.directory}", *words], {**environ, **(extra or {})}, stdin, seconds
            )

    async def must(self, what: str, *words: str, stdin: bytes = b"", remote: bool = False) -> Answer:
        """The answer, or the error that its failure means. `what` is what was to be done, for people."""
        answer = await self(*words, stdin=stdin, remote=remote)
        if answer.status:
            raise problem(what, answer.errors)
        return answer

    @contextmanager
    def _environment(self, *, remote: bool) -> Iterator[dict[str, str]]:
        found = {name: self.environ[name] for name in _PASSED if name in self.environ}
        found |= {
            "HOME": str(self.config.parent),
            "GIT_CONFIG_GLOBAL": str(self.config),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "/bin/false",
            "GIT_OPTIONAL_LOCKS": "0",
            "LC_ALL": "C.UTF-8",
        }
        with ExitStack() as stack:
            if remote and self.login.password:
                found["GIT_ASKPASS"] = stack.enter_context(_in_memory(_askpass(self.login), 0o700))
            key = self.login.ssh_key if remote else ""
            hosts = (
                stack.enter_context(_in_memory(self.login.known_hosts.strip() + "\n", 0o600)) if key else "/dev/null"
            )
            ssh = ["ssh", "-F", "none", "-oBatchMode=yes", "-oConnectTimeout=10", "-oStrictHostKeyChecking=yes"]
            ssh += [f"-oUserKnownHostsFile={hosts}", "-oGlobalKnownHostsFile=/dev/null", "-oIdentitiesOnly=yes"]
            if key:
                ssh += ["-i", stack.enter_context(_in_memory(key.strip() + "\n", 0o600))]
            found["GIT_SSH_COMMAND"] = shlex.join(ssh)
            yield found


def problem(what: str, errors: str) -> EngineError:
    """What git's last words mean: later, or a person."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    telling = [line for line in lines if line.lower().startswith(("fatal:", "error:"))] or lines or ["git said nothing"]
    said = " ".join(telling)[:500].removeprefix("fatal: ")
    low = " ".join(lines).lower()
    if any(word in low for word in _CREDENTIALS):
        return Stalled(f"{what}: {said}", "check the source's credentials and what they may do there")
    if "host key verification failed" in low:
        return Stalled(f"{what}: {said}", "write the server's host keys into credentials.knownHosts (ssh-keyscan)")
    if any(word in low for word in _LATER):
        return Waiting(f"{what}: {said}", "it is tried again by itself", 10.0)
    return Stalled(f"{what}: {said}", "check the URL and the branch")


async def _run(words: Sequence[str], environ: Mapping[str, str], stdin: bytes, seconds: float) -> Answer:
    process = await asyncio.create_subprocess_exec(
        *words,
        env=dict(environ),
        cwd="/",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    try:
        async with asyncio.timeout(seconds):
            _, output, errors = await asyncio.gather(
                _feed(process.stdin, stdin), _bounded(process.stdout), _bounded(process.stderr)
            )
            await process.wait()
    except TimeoutError:
        return Answer(1, b"", f"no answer within {seconds:.0f} seconds")
    finally:
        if process.returncode is None:
            os.killpg(process.pid, 9)
            await process.wait()
    return Answer(process.returncode or 0, output, errors.decode(errors="replace"))


async def _feed(stream: asyncio.StreamWriter, data: bytes) -> None:
    try:
        stream.write(data)
        await stream.drain()
        stream.close()
        await stream.wait_closed()
    except (BrokenPipeError, ConnectionResetError):
        pass  # git has ended: its status tells.


async def _bounded(stream: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := await stream.read(1 << 16):
        size += len(part)
        if size > LARGEST_OUTPUT:
            raise Stalled(f"git answers with more than {LARGEST_OUTPUT >> 20} MiB", "the repository is too large")
        parts.append(part)
    return b"".join(parts)


def _askpass(login: Login) -> str:
    """A script for git; `printf` is a part of the shell, so that no process list ever shows the password."""
    user, password = shlex.quote(login.username or "git"), shlex.quote(login.password)
    return f"#!/bin/sh\ncase \"$1\" in [Uu]sername*) printf '%s\\n' {user};; *) printf '%s\\n' {password};; esac\n"


@contextmanager
def _in_memory(text: str, mode: int) -> Iterator[str]:
    """A path to anonymous memory that holds the text while the block runs: a secret never lies on a disk."""
    descriptor = os.memfd_create("innkeeper", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, mode)
        os.write(descriptor, text.encode())
        # Reopened for reading: the kernel runs no script that is still open for writing.
        reading = os.open(f"/proc/{os.getpid()}/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(descriptor)
    try:
        yield f"/proc/{os.getpid()}/fd/{reading}"
    finally:
        os.close(reading)
