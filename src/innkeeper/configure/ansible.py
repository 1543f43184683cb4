"""One run of `ansible-playbook` for one guest: a private directory, secrets through memory, events through a pipe."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from innkeeper.configure import events, inventory, roles, routes
from innkeeper.configure.extras import need_command
from innkeeper.configure.handover import handed_over
from innkeeper.configure.scrub import Scrubber
from innkeeper.engine.errors import Stalled
from innkeeper.engine.inside import Inside, Tell

_PLUGINS = Path(__file__).parent / "plugins"
_COLLECTIONS = ".ansible/collections:/usr/share/ansible/collections"
_LONGEST_LINE = 1 << 20
_LAST_WORDS = 4000
_GRACE = 5.0
_SOCKET = "ssh.sock"

_CONFIGURATION = """[defaults]
# Ansible looks for results every millisecond; side by side that alone fills a core.
internal_poll_interval = 0.01
"""

_WRAPPER = """#!/bin/sh
# OpenSSH with its last word, the command, wrapped so that it runs inside the container.
case " $* " in *" -O "*) exec {ssh} "$@" ;; esac
count=$#
for word do
  shift
  if [ "$count" -eq 1 ]; then
    quoted=$(printf %s "$word" | sed "s/'/'\\\\\\\\''/g")
    word="{pct} /bin/sh -c '$quoted'"
  fi
  count=$((count - 1))
  set -- "$@" "$word"
done
exec {ssh} "$@"
"""


@dataclass(frozen=True, slots=True)
class Run:
    """`others` are the guests of the same desired state, for the inventory; `values` the roles' variables with secrets
    filled in; `lock` a descriptor that Ansible holds as long as it lives.
    """

    item: Inside
    who: str
    others: Sequence[Inside]
    way: routes.Route
    values: Sequence[Mapping[str, object]]
    facts: Mapping[str, object]
    lock: int
    seconds: float


async def run(job: Run, tell: Tell, scrub: Scrubber) -> None:
    """Run the guest's roles. Stalled names the task that failed and why, without secrets."""
    if find_spec("ansible") is None:
        raise Stalled("configuring guests needs the Python package ansible-core", "pip install innkeeper[guests]")
    ssh = need_command("ssh", "openssh-client")
    with _private_directory() as directory:
        _write(job, directory, ssh)
        story, last_words = events.Story(), ""
        status: int | None = None
        try:
            with handed_over(inventory.variables(job.values)) as variables:
                async with asyncio.timeout(job.seconds), _started(job, directory, str(variables)) as (process, lines):
                    assert process.stdout is not None  # asked for
                    reading = asyncio.create_task(_tail(process.stdout))
                    async for line in lines:
                        if (shown := story.hear(line.decode(errors="replace"))) is not None:
                            tell(scrub(shown))
                    last_words = await reading
                    status = await process.wait()
        except TimeoutError:
            raise Stalled(
                scrub(f"{job.who}: Ansible took longer than {job.seconds:.0f} seconds, in the task `{story.task}`"),
                "look at that task; what was done before it stays, and the next run goes on from there",
            ) from None
        finally:
            await _end_shared_connection(ssh, directory)
    story.rescued(status == 0)
    _judge(job, status, story, last_words, scrub)


def _judge(job: Run, status: int | None, story: events.Story, last_words: str, scrub: Scrubber) -> None:
    if story.failure is not None:
        reason = scrub(events.told(story.failure))
        raise Stalled(f"{job.who}: {reason}", events.advice(reason))
    if status != 0:
        reason = scrub(last_words.strip()) or f"it ended with status {status}"
        raise Stalled(f"{job.who}: Ansible could not run: {reason}", "mend the role or its variables, then apply again")


@contextlib.contextmanager
def _private_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="innkeeper-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _write(job: Run, directory: Path, ssh: str) -> None:
    own: dict[str, object] = {**job.facts}
    if job.way.pct:
        own |= {"ansible_become": False, "ansible_ssh_use_tty": False}
        wrapper = directory / "ssh"
        wrapper.write_text(_WRAPPER.format(ssh=ssh, pct=" ".join(job.way.pct)))
        wrapper.chmod(0o700)
    others = {item.ref: item for item in (*job.others, job.item)}
    path = roles.search_path(call.directory for call in job.item.roles)
    texts = {
        "inventory.json": inventory.inventory(others.values(), {inventory.host_name(job.item): own}),
        "playbook.yml": inventory.playbook(
            job.item, [roles.found_by_name(call.directory, path) for call in job.item.roles]
        ),
        "ssh_config": routes.ssh_config(job.way, _SOCKET),
        "ansible.cfg": _CONFIGURATION,
    }
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")


def _environment(job: Run, directory: Path) -> dict[str, str]:
    """All that Ansible gets to know of our environment: its search path and where collections are."""
    values = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(directory),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
        "ANSIBLE_HOME": str(directory),
        "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
        "ANSIBLE_CALLBACK_PLUGINS": str(_PLUGINS / "callback"),
        "ANSIBLE_STDOUT_CALLBACK": "innkeeper_events",
        "ANSIBLE_VARS_PLUGINS": str(_PLUGINS / "vars"),
        "ANSIBLE_VARS_ENABLED": "innkeeper_variables",
        "ANSIBLE_COLLECTIONS_PATH": f"{Path.home()}/{_COLLECTIONS}",
        "ANSIBLE_ROLES_PATH": ":".join(map(str, roles.search_path(call.directory for call in job.item.roles))),
        "ANSIBLE_INVENTORY_ENABLED": "ansible.builtin.yaml",
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_SSH_ARGS": f"-F {directory / 'ssh_config'}",
        "ANSIBLE_SSH_TRANSFER_METHOD": "piped",
        # A guest that is busy, or has just been started, may miss one connection.
        "ANSIBLE_SSH_RETRIES": "3",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
    }
    if job.way.pct:
        values["ANSIBLE_SSH_EXECUTABLE"] = str(directory / "ssh")
    return values


@asynccontextmanager
async def _started(
    job: Run, directory: Path, variables: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.StreamReader]]:
    """Ansible and its events. It is gone, with all that it started, when the block is left."""
    reader, writer = os.pipe()
    lines = asyncio.StreamReader(limit=_LONGEST_LINE)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(reader, "rb", buffering=0)
    )
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "ansible", "playbook"),
            *("-i", "inventory.json", "playbook.yml"),
            cwd=directory,
            env=_environment(job, directory) | {"INNKEEPER_EVENTS": str(writer), "INNKEEPER_VARIABLES": variables},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(writer, job.lock),
            start_new_session=True,
        )
    except BaseException:
        transport.close()
        raise
    finally:
        os.close(writer)
    try:
        yield process, lines
    finally:
        await _ended(process)
        transport.close()


async def _ended(process: asyncio.subprocess.Process) -> None:
    """End the whole process group, politely first; an interrupted run is waited for all the same."""
    if process.returncode is not None:
        return
    for end, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _GRACE)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, end)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await process.wait()
                break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def _tail(stream: asyncio.StreamReader) -> str:
    kept = b""
    while chunk := await stream.read(8192):
        kept = (kept + chunk)[-_LAST_WORDS:]
    return kept.decode(errors="replace")


async def _end_shared_connection(ssh: str, directory: Path) -> None:
    if not (directory / _SOCKET).exists():
        return
    process = await asyncio.create_subprocess_exec(
        *(ssh, "-F", str(directory / "ssh_config"), "-O", "exit", "guest"),
        cwd=directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE):
            await process.wait()
