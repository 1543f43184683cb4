"""One container as LXC knows it: its configuration file, and LXC's programs run on it inside the namespaces."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pvesim.backends.lxc.process import Outcome
from pvesim.backends.lxc.world import World
from pvesim.errors import TaskFailed

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "TERM": "dumb",
    "LANG": "C.UTF-8",
}
_LEGACY_CPU = Path("/sys/fs/cgroup/cpu/cgroup.procs")
_PERIOD = 100_000  # microseconds


@dataclass(frozen=True)
class Link:
    """One network device: its end on the node's bridge and the one inside."""

    key: str
    name: str
    bridge: str
    hwaddr: str
    mtu: str = ""

    def host_end(self, vmid: int) -> str:
        return f"veth{vmid}i{self.key.removeprefix('net')}"


@dataclass(frozen=True)
class Limits:
    """`memory` and `swap` in bytes, `cores` whole ones, `share` of the machine's time in cores (0: all)."""

    memory: int
    swap: int
    cores: int = 0
    share: float = 0

    def settings(self, vmid: int) -> dict[str, str]:
        """Control group settings, for the hierarchies that this machine has."""
        allowed = sorted(os.sched_getaffinity(0))
        count = min(self.cores, len(allowed)) or len(allowed)
        first = vmid % len(allowed)
        cpus = ",".join(str(cpu) for cpu in sorted((allowed * 2)[first : first + count]))
        if _LEGACY_CPU.exists():
            quota = str(int(self.share * _PERIOD)) if self.share else "-1"
            return {
                "cpuset.cpus": cpus,
                "cpu.cfs_quota_us": quota,
                "memory.limit_in_bytes": str(self.memory),
            }
        quota = f"{int(self.share * _PERIOD)} {_PERIOD}" if self.share else f"max {_PERIOD}"
        return {
            "cpuset.cpus": cpus,
            "cpu.max": quota,
            "memory.max": str(self.memory),
            "memory.swap.max": str(self.swap),
        }


class Container:
    """The directory `<guests>/<vmid>`: `config`, `rootfs`, `mp0` …, `log`."""

    def __init__(self, world: World, vmid: int) -> None:
        self.vmid = vmid
        self.folder = world.guests / str(vmid)
        self.rootfs = self.folder / "rootfs"
        self._world = world

    def configure(
        self,
        hostname: str,
        limits: Limits,
        links: Sequence[Link],
        mounts: Mapping[str, str],
        raw: Sequence[Sequence[str]],
        *,
        nesting: bool,
    ) -> None:
        """Write its configuration; `mounts` are paths inside by the name of their directory beside `rootfs`."""
        legacy = "cgroup" if _LEGACY_CPU.exists() else "cgroup2"
        lines = [
            "lxc.include = /usr/share/lxc/config/common.conf",
            *(["lxc.include = /usr/share/lxc/config/nesting.conf"] if nesting else []),
            f"lxc.rootfs.path = dir:{self.rootfs}",
            f"lxc.uts.name = {hostname.partition('.')[0]}",
            "lxc.apparmor.profile = unconfined",
            "lxc.signal.halt = SIGRTMIN+4",
            f"lxc.cgroup.dir.container = {self._world.cgroup}/{self.vmid}",
            f"lxc.cgroup.dir.monitor = {self._world.cgroup}/{self.vmid}.monitor",
            f"lxc.cgroup.dir.monitor.pivot = {self._world.cgroup}/pivot",
        ]
        lines += [f"lxc.{legacy}.{key} = {value}" for key, value in limits.settings(self.vmid).items()]
        for link in links:
            prefix = f"lxc.net.{link.key.removeprefix('net')}"
            lines += [f"{prefix}.type = veth", f"{prefix}.link = {link.bridge}", f"{prefix}.flags = up"]
            lines += [f"{prefix}.veth.pair = {link.host_end(self.vmid)}", f"{prefix}.name = {link.name}"]
            lines += [f"{prefix}.hwaddr = {link.hwaddr}"]
            lines += [f"{prefix}.mtu = {link.mtu}"] if link.mtu else []
        if not links:
            lines.append("lxc.net.0.type = empty")
        for name, inside in mounts.items():
            target = inside.lstrip("/").replace(" ", "\\040")
            lines.append(f"lxc.mount.entry = {self.folder / name} {target} none bind,create=dir 0 0")
        lines += [f"{key} = {value}" for key, value in raw]
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config").write_text("\n".join(lines) + "\n")

    async def _lxc(self, program: str, *arguments: str, stdin: bytes = b"", timeout: float = 30) -> Outcome:
        where = ("-P", str(self._world.guests), "-n", str(self.vmid))
        return await self._world.run(program, *where, *arguments, stdin=stdin, timeout=timeout)

    async def start(self) -> int:
        """Boot it; returns the process id of its init."""
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        pidfile = self.folder / "monitor"
        done = await self._lxc(
            *("lxc-start", "--daemon", "--pidfile", str(pidfile), "--logfile", str(log), "--logpriority", "INFO")
        )
        if done.status:
            raise TaskFailed(f"startup for container '{self.vmid}' failed: {self._complaint() or done.complaint}")
        return await self.init()

    def _complaint(self) -> str:
        try:
            text = (self.folder / "log").read_text(errors="replace")
        except OSError:
            return ""
        errors = [line.split(" ERROR ", 1)[1].strip() for line in text.splitlines() if " ERROR " in line]
        return errors[0] if errors else ""

    async def init(self) -> int:
        """The process id of its init on this machine; TaskFailed while it does not run."""
        done = await self._lxc("lxc-info", "--pid", "--no-humanize", timeout=10)
        if done.status or not done.text.strip().isdigit():
            raise TaskFailed(f"container '{self.vmid}' does not run")
        return int(done.text)

    def monitor(self) -> int | None:
        """The process that watches over it, as long as it lives."""
        try:
            pid = int((self.folder / "monitor").read_text())
            words = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0 ").replace("\0", " ")
        except (OSError, ValueError):
            return None
        return pid if words == f"[lxc monitor] {self.folder.parent} {self.vmid}" else None

    async def shutdown(self, timeout: float) -> None:
        """Let it go down by itself; TaskFailed when it takes longer than `timeout` seconds."""
        seconds = str(max(1, int(timeout)))
        done = await self._lxc("lxc-stop", "--nokill", "--timeout", seconds, timeout=timeout + 10)
        if done.status and self.monitor() is not None:
            raise TaskFailed(f"command 'lxc-stop -n {self.vmid} --nokill --timeout {seconds}' failed: exit code 1")

    async def kill(self) -> None:
        await self._lxc("lxc-stop", "--kill", timeout=20)

    async def freeze(self) -> None:
        await self._lxc("lxc-freeze", timeout=10)

    async def unfreeze(self) -> None:
        await self._lxc("lxc-unfreeze", timeout=10)

    def attach(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` inside, as `pct exec` does."""
        words = ["lxc-attach", "-P", str(self._world.guests), "-n", str(self.vmid), "--clear-env"]
        for name, value in ENVIRONMENT.items():
            words += ["--set-var", f"{name}={value}"]
        return self._world.enter(*words, "--", *command)

    async def limit(self, limits: Limits) -> None:
        """Change the limits of a running container."""
        for key, value in limits.settings(self.vmid).items():
            await self._lxc("lxc-cgroup", key, value, timeout=10)

    async def addresses(self, init: int) -> dict[str, list[str]]:
        """What its interfaces have, by name, in CIDR form."""
        command = ("nsenter", "--target", str(init), "--net", "--", "ip", "-json", "addr", "show")
        done = await self._world.run(*command, timeout=10)
        found: dict[str, list[str]] = {}
        for row in json.loads(done.out or b"[]") if not done.status else []:
            if row.get("ifname") != "lo":
                found[row["ifname"]] = [
                    f"{a['local']}/{a['prefixlen']}" for a in row.get("addr_info", ()) if "local" in a
                ]
        return found

    async def mount(self, layers: Path, arguments: Sequence[str], name: str = "rootfs") -> None:
        """Mount what `arguments` say, seen from `layers`, beside its configuration."""
        target = self.folder / name
        target.mkdir(parents=True, exist_ok=True)
        script = 'cd "$1" && shift && exec mount "$@"'
        await self._world.must("sh", "-c", script, "sh", str(layers), *arguments, str(target))

    async def unmount(self) -> None:
        """Unmount all of it; what is still busy goes when it no longer is."""
        for target in mounts_below(self._world.pid, self.folder):
            if (await self._world.run("umount", target)).status:
                await self._world.run("umount", "--lazy", target)


def mounts_below(pid: int, folder: Path) -> list[str]:
    """The mount points right below `folder`, as process `pid` sees them."""
    lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    targets = [re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), line.split()[4]) for line in lines]
    return [target for target in targets if Path(target).parent == folder]
