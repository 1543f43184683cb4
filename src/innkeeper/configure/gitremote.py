"""What a branch of a git repository stands at, asked of its server by the git command, without a shell."""

import asyncio
import os
import re
import socket
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from innkeeper.configure.extras import need_command
from innkeeper.configure.handover import handed_over

_SECONDS = 20.0
_AT_ONCE = 4
_BRANCH = re.compile(r"(?!.*(\.\.|//|@\{|\.lock(/|$)))[A-Za-z0-9_][A-Za-z0-9._/+@-]*(?<![/.])")
_SCP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^:\s-][^\s]*")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SCHEMES = ("https", "ssh", "git")
_PASSED = ("PATH", "HOME", "LANG", "http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY", "SSH_AUTH_SOCK")
_OWN = ("HOME", "SSH_AUTH_SOCK")
_ALLOWED = [word for name in (*_SCHEMES, "file") for word in ("-c", f"protocol.{name}.allow=always")]


class GitProblem(Exception):
    """What is wrong with a repository or branch; `code` is a diagnostic's, `advice` what to do."""

    def __init__(self, code: str, message: str, advice: str) -> None:
        super().__init__(message)
        self.code = code
        self.advice = advice


class Remotes:
    """Branches that were asked for, each once per run. `seen` records the git servers' SSH host keys."""

    def __init__(self, environ: Mapping[str, str], seen: Path, *, foreign: bool = False) -> None:
        """`foreign`: who wrote the manifests is not who runs this; files, keys and services of here are not theirs."""
        passed = [name for name in _PASSED if not (foreign and name in _OWN)]
        self._environ = {name: environ[name] for name in passed if name in environ}
        self._foreign = foreign
        self._seen = seen
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def commit(self, url: str, branch: str, key: str | None = None, known_hosts: str | None = None) -> str:
        """The commit (40 or 64 hex digits). GitProblem when there is none.

        `key` is a private key's text, `known_hosts` all that is believed of its server's host keys.
        """
        check(url, branch)
        if self._foreign:
            await _outside(url)
        async with self._room:
            return await self._ask(url, branch, key, known_hosts)

    async def _ask(self, url: str, branch: str, key: str | None, known_hosts: str | None) -> str:
        git = need_command("git", "git")
        with handed_over(_ended(key)) as key_file, handed_over(_ended(known_hosts)) as hosts_file:
            words = [git, "-c", "protocol.allow=never", *_ALLOWED, "ls-remote", "--heads", "--", url]
            environment = self._environment(key_file, hosts_file)
            status, output, errors = await self._run([*words, f"refs/heads/{branch}"], environment)
        if status:
            reason = _last_line(errors) or f"git ended with status {status}"
            raise GitProblem("GitUnreachable", f"{url}: {reason}", _advice(reason))
        commit = output.split("\t", 1)[0].strip()
        if not _COMMIT.fullmatch(commit):
            raise GitProblem(
                "NoSuchBranch", f"{url} has no branch {branch}", "push it, or name another branch in the manifest"
            )
        return commit

    def _environment(self, key_file: str | None, hosts_file: str | None) -> dict[str, str]:
        ssh = ["ssh", "-oBatchMode=yes", "-oConnectTimeout=10"]
        if key_file is not None:
            ssh += ["-F", "none", "-oIdentitiesOnly=yes", "-i", key_file]
        if hosts_file is not None:
            ssh += ["-oStrictHostKeyChecking=yes", f"-oUserKnownHostsFile={hosts_file}", "-oGlobalKnownHostsFile=none"]
        else:
            ssh += ["-oStrictHostKeyChecking=accept-new"]
            ssh += [f"-oUserKnownHostsFile={self._seen}"] if key_file is not None else []
        return {**self._environ, "GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": " ".join(map(_quoted, ssh))}

    async def _run(self, words: list[str], environ: dict[str, str]) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *words,
            env=environ,
            cwd=os.sep,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_SECONDS):
                output, errors = await process.communicate()
        except TimeoutError:
            return 1, "", f"no answer within {_SECONDS:.0f} seconds"
        finally:
            if process.returncode is None:
                os.killpg(process.pid, 9)
                await process.wait()
        return process.returncode or 0, output.decode(errors="replace"), errors.decode(errors="replace")


def check(url: str, branch: str) -> None:
    """GitProblem where a URL or branch is none that git may be asked for: nothing may be taken for an option."""
    if not _BRANCH.fullmatch(branch):
        raise GitProblem("BadBranch", f"{branch!r} is not the name of a branch", "name a branch such as main")
    if any(character.isspace() or not character.isprintable() for character in url):
        raise GitProblem("BadRepository", "the repository's URL holds white space", "write it without")
    if _SCP.fullmatch(url) or (url.startswith("/") and ".." not in Path(url).parts):
        return
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.password is not None:
        raise GitProblem(
            "SecretInURL",
            f"the repository's URL at {host} holds a password",
            "take it out of the manifest, and name a key by secretRef",
        )
    if parts.scheme not in _SCHEMES or not host or host.startswith("-"):
        raise GitProblem(
            "BadRepository",
            f"{url} is not a repository that is fetched from",
            "write https://…, ssh://…, git://…, user@host:path or an absolute path",
        )


async def _outside(url: str) -> None:
    """GitProblem for what is this machine's own: paths, loopback and link-local addresses (a cloud's metadata)."""
    match = _SCP.fullmatch(url)
    host = url.partition("@")[2].partition(":")[0] if match else urlsplit(url).hostname or ""
    problem = "" if host else "is a path of the machine that Innkeeper runs on"
    if host:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            return  # git says it in its own words
        addresses = [ip_address(str(item[4][0]).partition("%")[0]) for item in found]
        own = [ip for ip in addresses if ip.is_loopback or ip.is_link_local or ip.is_unspecified]
        problem = f"leads to {own[0]}, which is the machine's own" if own else ""
    if problem:
        raise GitProblem(
            "BadRepository", f"{url} {problem}", "name a repository that everybody reaches by the same address"
        )


def _ended(text: str | None) -> str | None:
    return text.rstrip("\n") + "\n" if text else None


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith("fatal:")] or lines
    ssh = [line for line in lines if "Permission denied" in line or "verification failed" in line]
    return (ssh or telling or [""])[0].removeprefix("fatal: ")


def _advice(reason: str) -> str:
    if "verification failed" in reason:
        return "its server shows another host key than the one that is known: look which is right, then mend knownHosts"
    if "Permission denied" in reason or "Authentication" in reason or "could not read Username" in reason:
        return "the server wants a key: name one by secretRef, and add its public half there as a deploy key"
    if "not found" in reason or "does not exist" in reason or "does not appear" in reason:
        return "look at the URL, and whether this key may read the repository"
    return "try the same by hand: git ls-remote"
