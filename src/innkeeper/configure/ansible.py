"""One run of `ansible-playbook`: a private directory, secrets through memory, events through a pipe.

It configures one guest, or several that need the same roles.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One guest's part of a run.

    `others` are the guests of the same desired state, for the inventory; `values` the roles' variables with secrets
    filled in; `lock` a descriptor that Ansible holds as long as it lives. `ended` has no result, or Stalled, which
    names the task that failed and why, without secrets.
    """

    item: Inside
    who: str
    others: Sequence[Inside]
    way: routes.Route
    values: Sequence[Mapping[str, object]]
    facts: Mapping[str, object]
    lock: int
    seconds: float
    tell: Tell
    scrub: Scrubber
    ended: "asyncio.Future[None]"
    story: events.Story = field(default_factory=events.Story)

    @property
    def host(self) -> str:
        return inventory.host_name(self.item)

    def hear(self, event: events.Event) -> None:
        if (shown := self.story.hear(event)) is not None:
            self.tell(self.scrub(shown))

    def judge(self, status: int | None, last_words: str) -> None:
        """Say how it ended, now that Ansible is gone. `status` is None where it took too long."""
        story, advice = self.story, "mend the role or its variables, then apply again"
        if story.well or (story.well is None and story.failure is None and status == 0):
            self.succeed()
            return
        if status is None:
            reason = f"Ansible took longer than {self.seconds:.0f} seconds, in the task `{story.task}`"
            advice = "look at that task; what was done before it stays, and the next run goes on from there"
        elif story.failure is not None:
            reason = events.told(story.failure)
            advice = events.advice(reason)
        else:
            reason = f"Ansible could not run: {last_words.strip() or f'it ended with status {status}'}"
        if not self.ended.done():
            self.ended.set_exception(Stalled(self.scrub(f"{self.who}: {reason}"), advice))

    def succeed(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def run(parts: Sequence[Run]) -> None:
    """Run the roles of guests that all need the same ones. Each part ends as soon as it is done, all at the end."""
    if find_spec("ansible") is None:
        raise Stalled("configuring guests needs the Python package ansible-core", "pip install innkeeper[guests]")
    ssh = need_command("ssh", "openssh-client")
    heard = {part.host: part for part in parts}
    with _private_directory() as directory:
        _write(parts, directory, ssh)
        values = inventory.variables({part.host: part.values for part in parts})
        status: int | None = None
        last_words = ""
        try:
            with handed_over(values) as variables:
                async with (
                    asyncio.timeout(parts[0].seconds),
                    _started(parts, directory, str(variables)) as (process, lines),
                ):
                    assert process.stdout is not None  # asked for
                    reading = asyncio.create_task(_tail(process.stdout))
                    async for line in lines:
                        _hear(line.decode(errors="replace"), heard)
                    last_words = await reading
                    status = await process.wait()
        except TimeoutError:
            pass
        finally:
            for number in range(len(parts)):
                await _end_shared_connection(ssh, directory, number)
    for part in parts:
        part.judge(status, last_words)


def _hear(line: str, parts: Mapping[str, Run]) -> None:
    event = events.read(line)
    if event is None:
        return
    if event["event"] == "stats":
        for host, counts in event["hosts"].items():
            if host in parts:
                parts[host].story.end(counts)
    elif (part := parts.get(event.get("host", ""))) is not None:
        part.hear(event)
        if part.story.well and not all(other.story.over for other in parts.values()):
            part.succeed()  # the others may take long


@contextlib.contextmanager
def _private_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="innkeeper-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _write(parts: Sequence[Run], directory: Path, ssh: str) -> None:
    own = {part.host: _reached(part, number, directory, ssh) for number, part in enumerate(parts)}
    items = [part.item for part in parts]
    known = {item.ref: item for item in (*parts[0].others, *items)}
    called = [call.directory for call in items[0].roles]
    path = roles.search_path(called)
    texts = {
        "inventory.json": inventory.inventory(known.values(), own),
        "playbook.yml": inventory.playbook(items, [roles.found_by_name(role, path) for role in called]),
        "ansible.cfg": _CONFIGURATION,
    }
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")


def _reached(part: Run, number: int, directory: Path, ssh: str) -> dict[str, object]:
    """The guest's own variables, with the files written that its way needs."""
    config = directory / f"ssh-{number}.config"
    config.write_text(routes.ssh_config(part.way, _socket(number)), encoding="utf-8")
    own: dict[str, object] = {**part.facts, "ansible_ssh_args": f"-F {config}"}
    if part.way.pct:
        wrapper = directory / f"ssh-{number}"
        wrapper.write_text(_WRAPPER.format(ssh=ssh, pct=" ".join(part.way.pct)), encoding="utf-8")
        wrapper.chmod(0o700)
        own |= {"ansible_become": False, "ansible_ssh_use_tty": False, "ansible_ssh_executable": str(wrapper)}
    return own


def _socket(number: int) -> str:
    return f"ssh-{number}.sock"


def _environment(parts: Sequence[Run], directory: Path) -> dict[str, str]:
    """All that Ansible gets to know of our environment: its search path and where collections are."""
    called = (call.directory for call in parts[0].item.roles)
    return {
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
        "ANSIBLE_ROLES_PATH": ":".join(map(str, roles.search_path(called))),
        "ANSIBLE_INVENTORY_ENABLED": "ansible.builtin.yaml",
        "ANSIBLE_FORKS": str(len(parts)),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_SSH_TRANSFER_METHOD": "piped",
        # A guest that is busy, or has just been started, may miss one connection.
        "ANSIBLE_SSH_RETRIES": "3",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
    }


@asynccontextmanager
async def _started(
    parts: Sequence[Run], directory: Path, variables: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.StreamReader]]:
    """Ansible and its events. It is gone, with all that it started, when the block is left."""
    reader, writer = os.pipe()
    lines = asyncio.StreamReader(limit=_LONGEST_LINE)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(reader, "rb", buffering=0)
    )
    own = {"INNKEEPER_EVENTS": str(writer), "INNKEEPER_VARIABLES": variables}
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "ansible", "playbook"),
            *("-i", "inventory.json", "playbook.yml"),
            cwd=directory,
            env=_environment(parts, directory) | own,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(writer, *(part.lock for part in parts)),
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


async def _end_shared_connection(ssh: str, directory: Path, number: int) -> None:
    if not (directory / _socket(number)).exists():
        return
    process = await asyncio.create_subprocess_exec(
        *(ssh, "-F", str(directory / f"ssh-{number}.config"), "-O", "exit", "guest"),
        cwd=directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE):
            await process.wait()
