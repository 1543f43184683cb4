"""A bridge of our own with real Debian containers on it, for the roles to be tried on.

One network namespace and one mount namespace per laboratory, held by a process that dies with the tests, so that
nothing of it is seen outside and several run side by side. Guests reach packages through a forward proxy on the bridge.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROLES = HERE.parents[2] / "src" / "innkeeper" / "roles"
GATEWAY = "10.213.77.1"
PROXY = f"http://{GATEWAY}:3142"
TEMPLATE_VARIABLE = "INNKEEPER_TEST_TEMPLATE"
BINARIES = ("lxc-start", "lxc-stop", "lxc-attach", "ip", "nsenter", "unshare", "setpriv", "tar", "zstd", "git", "ssh")

ENTER = """set -e
mount --make-rprivate /
mkdir -p "$1/cgroup" && mount --rbind /sys/fs/cgroup "$1/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$1/cgroup" /sys/fs/cgroup
ip link set lo up
ip link add lab0 type bridge
ip addr add "$2/24" dev lab0
ip link set lab0 up
touch "$1/ready"
exec sleep infinity
"""

CONFIG = """lxc.include = /usr/share/lxc/config/common.conf
lxc.uts.name = {name}
lxc.rootfs.path = dir:{root}
lxc.net.0.type = veth
lxc.net.0.link = lab0
lxc.net.0.flags = up
lxc.net.0.name = eth0
lxc.net.0.ipv4.address = {address}/24
lxc.net.0.ipv4.gateway = {gateway}
lxc.apparmor.profile = unconfined
lxc.include = /usr/share/lxc/config/nesting.conf
"""


def template() -> Path | None:
    """The Debian 12 template: named by the environment, or the newest that `pvesim template build` has cached."""
    if named := os.environ.get(TEMPLATE_VARIABLE):
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pvesim"
    found = sorted(cache.glob("**/debian-12*.tar.zst"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def missing() -> str | None:
    """What keeps real containers from running here, or None."""
    if os.geteuid() != 0:
        return "root"
    if absent := [name for name in BINARIES if not shutil.which(name)]:
        return f"the commands {', '.join(absent)} (Debian: lxc iproute2 util-linux zstd git openssh-client)"
    if template() is None:
        return f"a Debian 12 template: `pvesim template build debian-12`, or its path in {TEMPLATE_VARIABLE}"
    trial = subprocess.run(["unshare", "--mount", "--net", "ip", "link", "add", "trial0", "type", "bridge"])
    return "the right to make namespaces and bridges" if trial.returncode else None


@dataclass(frozen=True, slots=True)
class Play:
    """What one run of roles did: the exit status, Ansible's counts, everything it printed, and the seconds it took."""

    status: int
    stats: Mapping[str, int]
    output: str
    seconds: float

    @property
    def changed(self) -> int:
        return self.stats.get("changed", -1)


@dataclass
class Lab:
    directory: Path
    holder: subprocess.Popen[bytes]
    helpers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    guests: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls) -> "Lab":
        directory = Path(tempfile.mkdtemp(prefix="innkeeper-lab-"))
        directory.chmod(0o755)
        holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "sh", "-c", ENTER, "sh", str(directory), GATEWAY]
        )
        lab = cls(directory, holder)
        wait_for(lambda: (directory / "ready").exists(), 10, "the namespaces of the laboratory")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / "key")], check=True)
        netns = f"/proc/{holder.pid}/ns/net"
        lab._helper([sys.executable, str(HERE / "forward_proxy.py"), netns, GATEWAY, "3142"])
        (directory / "git").mkdir()
        lab._helper([*lab.inside, "git", "daemon", "--export-all", f"--base-path={directory}/git", "--reuseaddr"])
        return lab

    def _helper(self, command: Sequence[str]) -> None:
        self.helpers.append(subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], start_new_session=True))

    @property
    def inside(self) -> list[str]:
        """The words before a command that is to run in the laboratory's namespaces."""
        return ["nsenter", "-t", str(self.holder.pid), "-m", "-n", "--wd=/"]

    def close(self) -> None:
        for name in list(self.guests):
            self.destroy(name)
        for helper in self.helpers:
            os.killpg(helper.pid, signal.SIGKILL)
            helper.wait()
        self.holder.kill()
        self.holder.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def create(self, name: str, address: str) -> None:
        home = self.directory / "guests" / name
        root, upper, work = home / "root", home / "upper", home / "work"
        for path in (root, upper, work):
            path.mkdir(parents=True)
        options = f"lowerdir={unpacked()},upperdir={upper},workdir={work}"
        self._run("mount", "-t", "overlay", "overlay", "-o", options, str(root))
        self._write_files(name, root)
        (home / "config").write_text(CONFIG.format(name=name, root=root, address=address, gateway=GATEWAY))
        self._run("lxc-start", "-P", str(home.parent), "-n", name, "-f", str(home / "config"), "-d")
        self.guests[name] = address
        wait_for(lambda: self._ssh_answers(address), 30, f"ssh of {name}")

    def _write_files(self, name: str, root: Path) -> None:
        """What Proxmox writes at create, and where this laboratory's proxy is. (Through the namespace: the overlay is mounted there.)"""
        inside = Path(f"/proc/{self.holder.pid}/root{root}")
        (inside / "etc/hostname").write_text(f"{name}\n")
        (inside / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n")
        (inside / "etc/network/interfaces").write_text("auto lo\niface lo inet loopback\n")
        (inside / "etc/apt/apt.conf.d/90lab").write_text(f'Acquire::http::Proxy "{PROXY}";\n')
        ssh = inside / "root/.ssh"
        ssh.mkdir(mode=0o700, exist_ok=True)
        (ssh / "authorized_keys").write_text((self.directory / "key.pub").read_text())
        bundle = inside / "etc/ssl/certs/lab.crt"
        bundle.write_bytes(Path("/etc/ssl/certs/ca-certificates.crt").read_bytes())
        ways = {
            "http_proxy": PROXY,
            "https_proxy": PROXY,
            "PIP_CERT": "/etc/ssl/certs/lab.crt",
            "NODE_EXTRA_CA_CERTS": "/etc/ssl/certs/lab.crt",
        }
        (inside / "etc/environment").write_text("".join(f"{key}={value}\n" for key, value in ways.items()))

    def destroy(self, name: str) -> None:
        home = self.directory / "guests" / name
        subprocess.run([*self.inside, "lxc-stop", "-k", "-P", str(home.parent), "-n", name], capture_output=True)
        self._run("umount", "-l", str(home / "root"))
        shutil.rmtree(home)
        del self.guests[name]

    def shell(self, name: str, script: str, check: bool = True) -> str:
        """What a shell in the guest prints."""
        done = subprocess.run(
            [*self.inside, "lxc-attach", "--clear-env", "-P", str(self.directory / "guests"), "-n", name]
            + ["--", "sh", "-c", f"export PATH=/usr/sbin:/usr/bin:/sbin:/bin; {script}"],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def get(self, url: str, check: bool = True) -> str:
        """The body that the bridge's side gets from a guest: what is open from outside."""
        command = ["curl", "--noproxy", "*", "-sS", "--fail", "--max-time", "5", url]
        done = subprocess.run([*self.inside, *command], capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def play(self, guest: str, roles: Sequence[tuple[str, Mapping[str, object]]], *options: str) -> Play:
        """Runs bundled roles on the guest as Innkeeper does: variables in a private file, one play."""
        home = Path(tempfile.mkdtemp(dir=self.directory, prefix="play-"))
        address = self.guests[guest]
        vars_for_host = {"ansible_user": "root", "ansible_python_interpreter": "/usr/bin/python3"}
        (home / "hosts.json").write_text(json.dumps({"all": {"hosts": {guest: {"ansible_host": address, **vars_for_host}}}}))
        names = [{"role": name, "vars": dict(variables)} for name, variables in roles]
        (home / "play.json").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "roles": names}]))
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")},
            "ANSIBLE_ROLES_PATH": str(ROLES),
            "ANSIBLE_HOME": str(home / "home"),
            "ANSIBLE_HOST_KEY_CHECKING": "false",
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_PRIVATE_KEY_FILE": str(self.directory / "key"),
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=30 -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.directory / "cp"),
            "ANSIBLE_NOCOLOR": "true", "ANSIBLE_CALLBACKS_ENABLED": os.environ.get("RLCB",""),
        }
        started = time.monotonic()
        done = subprocess.run(
            [*self.inside, str(Path(sys.executable).with_name("ansible-playbook"))]
            + ["-i", str(home / "hosts.json"), str(home / "play.json"), *options],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        return Play(done.returncode, recap(done.stdout), done.stdout, round(time.monotonic() - started, 1))

    def _run(self, *command: str) -> None:
        subprocess.run([*self.inside, *command], check=True, timeout=60)

    def _ssh_answers(self, address: str) -> bool:
        probe = f"exec 3<>/dev/tcp/{address}/22 && head -c 4 <&3"
        done = subprocess.run([*self.inside, "timeout", "2", "bash", "-c", probe], capture_output=True)
        return done.stdout == b"SSH-"


def recap(output: str) -> dict[str, int]:
    """The counts of Ansible's last line, `guest : ok=3 changed=1 …`; empty when it never came so far."""
    lines = [line for line in output.splitlines() if " : ok=" in line]
    words = lines[-1].partition(" : ")[2].split() if lines else []
    return {key: int(count) for key, _, count in (word.partition("=") for word in words)}


def unpacked() -> Path:
    """The template's root directory, unpacked once per template beside it in the cache of this machine."""
    archive = template()
    assert archive is not None
    stamp = archive.stat()
    place = Path(tempfile.gettempdir()) / f"innkeeper-lab-template-{stamp.st_size}-{stamp.st_mtime_ns}"
    if not (place / ".complete").exists():
        part = Path(tempfile.mkdtemp(prefix="innkeeper-lab-unpack-"))
        part.chmod(0o755)
        subprocess.run(["tar", "--zstd", "-xpf", str(archive), "-C", str(part), "--numeric-owner"], check=True)
        (part / ".complete").touch()
        part.rename(place)
    return place


def wait_for(holds: "callable[[], bool]", seconds: float, what: str) -> None:  # type: ignore[valid-type]
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what} did not come within {seconds} s"
        time.sleep(0.1)
