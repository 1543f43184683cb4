"""A cluster of real containers, manifests, git repositories, and the real `innkeeper` command that works on them."""

import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from tests.innkeeper.roles.lab import Repository
from tests.pvesim import running

EXAMPLES = Path(__file__).parents[3] / "examples"
COMMAND = (sys.executable, "-m", "innkeeper")
HEAD = "apiVersion: innkeeper.dev/v1alpha1\nkind: {}\nmetadata: {{name: {}}}\nspec:\n"


@dataclass(frozen=True)
class Done:
    """One run of the command."""

    status: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        return {step["name"]: step for step in self.json["steps"]}


@dataclass
class World:
    """`net` are the first three numbers of the guests' addresses; `folder/manifests` is the source's directory."""

    sim: running.Sim
    folder: Path
    net: str
    git: subprocess.Popen[bytes] | None = None
    processes: set[str] = field(default_factory=set)
    """Command lines seen while commands ran."""

    @property
    def manifests(self) -> Path:
        return self.folder / "manifests"

    @property
    def data(self) -> Path:
        return self.folder / "data/innkeeper"

    def declare(self, name: str, text: str) -> Path:
        """Write a manifest; `10.0.20.` in it becomes the guests' own network."""
        file = self.manifests / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("10.0.20.", f"{self.net}."))
        return file

    def container(self, name: str, vmid: int, *lines: str) -> Path:
        """A container at the address that ends like its vmid; `lines` are more of its spec."""
        spec = [f"vmid: {vmid}", f"network: [{{name: eth0, ip: 10.0.20.{vmid % 100 + 100}/24, gateway: 10.0.20.1}}]"]
        if not any(line.startswith("profile:") for line in lines):
            spec += ["memory: 512Mi", "rootDisk: {size: 4Gi}"]
        return self.declare(f"{name}.yaml", HEAD.format("Container", name) + _indented(*spec, *lines))

    def address(self, vmid: int) -> str:
        return f"{self.net}.{vmid % 100 + 100}"

    def role(self, name: str, tasks: str, base: str = "") -> Path:
        file = self.manifests / base / "roles" / name / "tasks/main.yml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(tasks)
        return file

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        own = {"PVE_TOKEN_SECRET": running.SECRET, "XDG_DATA_HOME": str(self.folder / "data"), "NO_COLOR": "1"}
        return {**os.environ, **own, "COLUMNS": "200", **more}

    def innkeeper(
        self, *words: str, env: Mapping[str, str] = MappingProxyType({}), watch: bool = False, timeout: float = 1000
    ) -> Done:
        """Run the command among the manifests; `watch` notes every command line on this machine meanwhile."""
        with self._watched() if watch else _nothing():
            done = subprocess.run(
                [*COMMAND, *words],
                cwd=self.manifests,
                env=self.environment(env),
                capture_output=True,
                text=True,
                timeout=timeout,
                stdin=subprocess.DEVNULL,
            )
        return Done(done.returncode, done.stdout, done.stderr)

    def apply(
        self, *words: str, ok: bool = True, env: Mapping[str, str] = MappingProxyType({}), watch: bool = False
    ) -> Done:
        done = self.innkeeper("apply", "--yes", "--source", "inside", *words, env=env, watch=watch)
        assert (done.status == 0) == ok, done.all
        return done

    def apply_after(self, meanwhile: Callable[[], object], *words: str) -> Done:
        """Apply as a person does, to whom something happens between seeing the plan and agreeing to it."""
        command = [*COMMAND, "apply", "--source", "inside", *words]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, cwd=self.manifests, env=self.environment({}), stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            shown = b""
            while not shown.endswith(b"[y/N] "):
                part = os.read(process.stdout.fileno(), 4096)
                assert part, shown.decode()
                shown += part
            meanwhile()
            rest, _ = process.communicate(b"y\n", timeout=1000)
        done = Done(process.returncode, (shown + rest).decode(), "")
        assert done.status == 0, done.out
        return done

    def status(self, env: Mapping[str, str] = MappingProxyType({})) -> dict[str, dict[str, Any]]:
        """What `status` says of each guest."""
        done = self.innkeeper("status", "--source", "inside", "-o", "json", env=env)
        return {item["name"]: item for item in done.json["guests"]}

    def pct(self, vmid: int, script: str) -> str:
        """Run a shell script in a guest as a person at its node would; the test fails when it does."""
        node = self.sim.ready["ssh"]["pve"]
        words = ["ssh", "-i", self.sim.ready["ssh_key"], "-p", str(node["port"]), "-o", "BatchMode=yes"]
        words += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        quoted = script.replace("'", "'\\''")
        command = [*words, f"root@{node['host']}", f"pct exec {vmid} -- sh -c '{quoted}'"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def get(self, address: str, port: int = 80, path: str = "/") -> tuple[int, str]:
        return get(f"http://{address}:{port}{path}")

    def repository(self, name: str, files: Path) -> Repository:
        """A git repository with the content of a directory, which this machine and the guests reach at one URL."""
        where = urlsplit(self.sim.ready["from_guests"]["pve"]).hostname
        if self.git is None:
            base = self.folder / "git"
            base.mkdir(exist_ok=True)
            command = ["git", "daemon", "--export-all", f"--base-path={base}", f"--listen={where}", "--port=9418"]
            self.git = subprocess.Popen([*command, "--reuseaddr"], stderr=subprocess.DEVNULL)
        work = self.folder / f"work-{name}"
        shutil.copytree(files, work)
        made = Repository(work, self.folder / "git" / name, f"git://{where}/{name}")
        made.run("init", "--quiet", "--initial-branch=main")
        subprocess.run(["git", "init", "--quiet", "--bare", str(made.bare)], check=True)
        made.commit("The first version")
        return made

    def close(self) -> None:
        if self.git is not None:
            self.git.terminate()  # which ends the daemon that it started, too
            self.git.wait()
        self.sim.process.terminate()
        self.sim.process.wait(60)
        self.sim.stop()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.1):
                self.processes.update(command_lines())

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def start(folder: Path, third: int, seed: Mapping[str, Any] = running.ONE_NODE) -> World:
    """`third` is the third number of the guests' addresses, of its own for each module."""
    (folder / "manifests").mkdir()
    sim = running.start(folder, seed, "--backend", "lxc")
    world = World(sim, folder, f"10.{30 + os.getpid() % 90}.{third}")
    way = sim.ready["ssh"]["pve"]
    spec = [
        f"endpoints: [{next(iter(sim.urls.values()))}]",
        f"tls: {{caFile: {sim.cafile}}}",
        'credentials: {tokenID: "root@pam!full", tokenSecret: {env: PVE_TOKEN_SECRET}}',
        "defaults: {node: pve, storage: btr, bridge: vmbr0, template: debian-12}",
        f"ssh: {{keyFile: {sim.ready['ssh_key']}, hosts: {{pve: '{way['host']}:{way['port']}'}}}}",
    ]
    world.declare("cluster.yaml", HEAD.format("Cluster", "home") + _indented(*spec))
    return world


def get(url: str) -> tuple[int, str]:
    """The status and the text that this machine gets over HTTP; status 0 where nothing answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def command_lines() -> set[str]:
    """The command line of every process, and the environment of those that are in no container."""
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            inside = (place / "ns/pid").readlink() != Path("/proc/self/ns/pid").readlink()
            for file in ("cmdline",) if inside else ("cmdline", "environ"):
                found.add((place / file).read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def _indented(*lines: str) -> str:
    return "".join(f"  {part}\n" for line in lines for part in line.splitlines())


@contextmanager
def _nothing() -> Iterator[None]:
    yield
