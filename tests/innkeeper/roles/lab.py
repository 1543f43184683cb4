"""Real containers to try roles on: a simulated node, guests on it, git repositories they reach, and Ansible runs."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from innkeeper.configure.roles import BUNDLED
from tests.pvesim import running

EXAMPLES = Path(__file__).parents[3] / "examples"
NET = f"10.{30 + os.getpid() % 90}.78"
Calls = Sequence[tuple[str, Mapping[str, object]]]


@dataclass(frozen=True, slots=True)
class Play:
    """One run of roles: the exit status, Ansible's counts, the tasks that changed something, and all it printed."""

    status: int
    counts: Mapping[str, int]
    output: str

    @property
    def changed(self) -> list[str]:
        """`role : task` of every task that changed something."""
        task, found = "", []
        for line in self.output.splitlines():
            if started := re.match(r"(?:TASK|RUNNING HANDLER) \[(.*)\] \**$", line):
                task = started[1]
            elif line.startswith("changed: "):
                found.append(task)
        return list(dict.fromkeys(found))

    @property
    def failure(self) -> str:
        found = re.search(r"^fatal: \S+ FAILED! => (\{.*\})$", self.output, re.MULTILINE)
        return str(json.loads(found[1])["msg"]) if found else ""


@dataclass
class Lab:
    """`folder` holds the key that opens the guests, and the repositories that they clone from."""

    sim: running.Sim
    folder: Path
    git: subprocess.Popen[bytes] | None = None
    guests: list["Guest"] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path) -> "Lab":
        key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        (folder / "git").mkdir()
        sim = running.start(folder, running.ONE_NODE, "--backend", "lxc", "--ssh-key", f"{key}.pub")
        return cls(sim, folder)

    def close(self) -> None:
        if self.git is not None:
            self.git.terminate()  # which ends the daemon that it started, too
            self.git.wait()
        self.sim.process.terminate()
        self.sim.process.wait(60)
        self.sim.stop()

    def create(self, name: str) -> "Guest":
        vmid = 101 + len(self.guests)
        guest = Guest(self, name, f"{NET}.{vmid}")
        wanted = {
            "vmid": vmid,
            "ostemplate": running.TEMPLATE,
            "storage": "btr",
            "hostname": name,
            "memory": 2048,
            "features": "nesting=1",
            "ssh-public-keys": (self.folder / "key.pub").read_text(),
            "start": 1,
            "net0": f"name=eth0,bridge=vmbr0,ip={guest.address}/24,gw={NET}.254",
        }
        self.guests.append(guest)
        assert self.sim.do("POST", "/nodes/pve/lxc", wanted) == "OK"
        deadline = time.monotonic() + 30
        while subprocess.run([*guest.ssh, "true"], capture_output=True).returncode:
            assert time.monotonic() < deadline, f"{name} does not answer"
            time.sleep(0.2)
        return guest

    def repository(self, name: str, files: Path) -> "Repository":
        """A git repository with the content of a directory, served to the guests by git's own protocol."""
        where = _host_address(self.sim.process.pid)
        if self.git is None:
            command = ["git", "daemon", "--export-all", f"--base-path={self.folder / 'git'}", f"--listen={where}"]
            self.git = subprocess.Popen([*command, "--port=9418", "--reuseaddr"])
        work = self.folder / f"work-{name}"
        shutil.copytree(files, work)
        made = Repository(work, self.folder / "git" / name, f"git://{where}/{name}")
        made.run("init", "--quiet", "--initial-branch=main")
        subprocess.run(["git", "init", "--quiet", "--bare", str(made.bare)], check=True)
        made.commit("The first version")
        return made


def _host_address(pid: int) -> str:
    """The address of this machine that the guests of a simulator reach."""
    answer = subprocess.run(["ip", "-j", "addr", "show", f"pvs{pid}"], capture_output=True, check=True)
    return str(json.loads(answer.stdout)[0]["addr_info"][0]["local"])


@dataclass(frozen=True)
class Repository:
    work: Path
    bare: Path
    url: str

    def run(self, *words: str) -> str:
        command = ["git", "-C", str(self.work), "-c", "user.name=Test", "-c", "user.email=test@example.org", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, message: str, branch: str = "main", **files: str) -> str:
        """Write files (a dot in a name is written as two underscores, a slash as three) and push; the commit."""
        for name, text in files.items():
            path = self.work / name.replace("___", "/").replace("__", ".")
            path.write_text(text)
        self.run("add", "--all")
        self.run("commit", "--quiet", "--message", message)
        self.run("push", "--quiet", str(self.bare), f"HEAD:refs/heads/{branch}")
        return self.run("rev-parse", "HEAD")


@dataclass(frozen=True)
class Guest:
    lab: Lab
    name: str
    address: str

    @property
    def ssh(self) -> list[str]:
        return self.ssh_as("root")

    def ssh_as(self, user: str) -> list[str]:
        options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        return ["ssh", *options, "-o", "LogLevel=ERROR", "-i", str(self.lab.folder / "key"), f"{user}@{self.address}"]

    def shell(self, script: str, user: str = "root") -> str:
        """What a shell in the guest prints; the test fails when it does."""
        done = subprocess.run([*self.ssh_as(user), script], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def get(self, port: int, path: str = "/") -> tuple[int, str]:
        """The status and the text that this machine gets over HTTP from the guest; status 0 where nothing answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{self.address}:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def play(self, roles: Calls, *options: str) -> Play:
        """Run bundled roles here."""
        home = Path(tempfile.mkdtemp(dir=self.lab.folder, prefix="play-"))
        own = {
            "ansible_host": self.address,
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_private_key_file": str(self.lab.folder / "key"),
        }
        calls = [{"role": name, "vars": dict(variables)} for name, variables in roles]
        play = {"hosts": "all", "gather_facts": False, "roles": calls}
        (home / "hosts.json").write_text(json.dumps({"all": {"hosts": {self.name: own}}}))
        (home / "play.json").write_text(json.dumps([play]))
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_ROLES_PATH": str(BUNDLED),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=20 -o StrictHostKeyChecking=no "
            "-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
        }
        command = [sys.executable, "-P", "-m", "ansible", "playbook", "-i", "hosts.json", "play.json", *options]
        done = subprocess.run(
            command, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900
        )
        return Play(done.returncode, _counts(done.stdout), done.stdout)

    def configure(self, roles: Calls) -> list[str]:
        """Run roles, which must succeed; what they changed."""
        played = self.play(roles)
        assert played.status == 0, played.output[-4000:]
        return played.changed


def _counts(output: str) -> dict[str, int]:
    """Ansible's last line, `guest : ok=3 changed=1 …`; empty when it did not come so far."""
    lines = [line for line in output.splitlines() if " : ok=" in line]
    words = lines[-1].partition(" : ")[2].split() if lines else []
    return {key: int(count) for key, _, count in (word.partition("=") for word in words)}
