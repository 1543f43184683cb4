"""The backend that makes containers real; virtual machines stay records.

What the cluster's state says is done to LXC here: volumes become overlays (`layers`), the node's network becomes
bridges (`world`), settings become files inside (`inside`) and LXC's configuration (`container`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pvesim.backends.lxc import inotify, inside, networks
from pvesim.backends.lxc.container import Container, Limits
from pvesim.backends.lxc.layers import Layers
from pvesim.backends.lxc.process import run
from pvesim.backends.lxc.world import World, say
from pvesim.backends.record import Login
from pvesim.cluster import storage
from pvesim.cluster.lxc import options, properties
from pvesim.cluster.state import Cluster, Config, Guest, Volume
from pvesim.errors import TaskFailed
from pvesim.template import cache

SHUTDOWN_SECONDS = 60.0
_EXEC_SECONDS = 600.0
PROXY_PORT = 3142
_SEEDED = "debian-12"  # what is in a container that the seed declares


class LxcBackend:
    """`home` is the simulator's directory; with `keep` containers survive its end. `changed` is called when a
    container went down by itself.
    """

    def __init__(self, cluster: Cluster, home: Path, *, keep: bool) -> None:
        self._cluster, self._home = cluster, home
        self.world = World(home, _ident(home), keep=keep)
        self.layers = Layers(home / "layers")
        self.changed: Callable[[], None] = lambda: None
        self._watched: dict[int, int] = {}  # vmid -> pidfd of its monitor
        self._applied: dict[int, Config] = {}
        self._inits: dict[int, int] = {}
        self._endings: dict[int, asyncio.Task[None]] = {}  # of those that went down by themselves

    # Life of the simulator

    async def open(self) -> None:
        """Make the namespaces, or join those of containers that still run; the bridges of all nodes are in them."""
        inotify.raise_limit(say)
        alive = self._alive()
        await self.world.open(next(iter(alive.values()), None))
        (self._home / "world.json").write_text(json.dumps({"ident": self.world.ident, "pid": os.getpid()}))
        for node in self._cluster.nodes.values():
            for name, interface in node.network.items():
                if interface.get("type") == "bridge":
                    await self.world.bridge(name, filter(None, [str(interface.get("address") or "")]))

    def _alive(self) -> dict[int, int]:
        """The monitors of containers that run, by vmid."""
        found = {int(path.name): Container(self.world, int(path.name)).monitor() for path in self._folders()}
        return {vmid: monitor for vmid, monitor in found.items() if monitor is not None}

    async def resume(self) -> None:
        """Make everything as the state says: take over or start what ran, remove what nothing knows."""
        alive, guests = self._alive(), [guest for guest in self._cluster.guests.values() if guest.kind == "lxc"]
        for vmid in alive.keys() - {guest.vmid for guest in guests if guest.running is not None}:
            await Container(self.world, vmid).kill()
            await _gone(Container(self.world, vmid))
            await Container(self.world, vmid).unmount()
        for guest in guests:
            if guest.running is not None:
                await self._resume(guest, adopt=guest.vmid in alive)
        for path in self._folders():
            if int(path.name) not in {guest.vmid for guest in guests}:
                await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
        await self.layers.collect(self._cluster.volumes.values())

    async def _resume(self, guest: Guest, *, adopt: bool) -> None:
        """A container that ran when pvesim ended: it is taken over, or started again."""
        try:
            if adopt:
                guest.pid = await self._running(guest)
            else:
                guest.pid = await self.start(guest)
                guest.started_at = self._cluster.clock.now()
        except TaskFailed as error:
            say(f"CT {guest.vmid} is stopped: {error}")
            guest.running = guest.pid = guest.started_at = None

    def _folders(self) -> list[Path]:
        return [path for path in self.world.guests.glob("*") if path.name.isdigit()]

    async def close(self) -> None:
        """Stop what runs; what is kept says that it ran, so that the next start brings it back."""
        for vmid in list(self._watched):
            self._unwatch(vmid)

        async def end(vmid: int) -> None:
            container = Container(self.world, vmid)
            if container.monitor() is not None:
                if self.world.keep:
                    with contextlib.suppress(TaskFailed):
                        await container.shutdown(6)
                await container.kill()
                await _gone(container)
            await container.unmount()

        await asyncio.gather(*(end(int(path.name)) for path in self._folders()), return_exceptions=True)
        await self.world.close()

    # Content of volumes

    async def unpack(
        self, guest: Guest, config: Config, archive: Volume, login: Login, log: Callable[[str], None]
    ) -> None:
        """Fill new volumes; the root of a template's container gets its login and host keys of its own."""
        if guest.kind != "lxc":
            return
        held = archive.extra.get("disks") or {}
        for key, volid in properties.volumes(config):
            volume = storage.get(self._cluster, guest.node, volid)
            if archive.content == "backup":
                self.layers.plant(volume, (held.get(key, {}).get("layers") or {}).get("below", ()))
            elif key == "rootfs":
                tree = await cache.unpacked(archive.volid, archive.extra.get("file"))
                self.layers.plant(volume, [self.layers.base(tree)])
            else:
                self.layers.plant(volume)
        if archive.content == "backup":
            return
        async with self._mounted(guest.vmid, guest.node, config) as container:
            root = self.world.path(container.rootfs)
            if login.ssh_keys:
                inside.authorize(root, login.ssh_keys)
            if login.password:
                await self._chroot(container, "chpasswd", stdin=f"root:{login.password}\n")
            await self._host_keys(container, config, log)

    async def receive(self, volume: Volume, content: bytes) -> None:
        """A template that was uploaded is what containers are made of; other content is a record."""
        if volume.content == "vztmpl":
            file = str(await asyncio.to_thread(cache.keep, content))
            system = inside.system(await cache.unpacked(volume.volid, file))
            volume.extra |= {"file": file, **({"system": system} if system else {})}

    async def _host_keys(self, container: Container, config: Config, log: Callable[[str], None]) -> None:
        """SSH host keys of its own, where it has none of that kind (PVE::LXC::Create, ssh host keys)."""
        root = self.world.path(container.rootfs)
        for kind in ("ed25519", "ecdsa"):
            path = f"/etc/ssh/ssh_host_{kind}_key"
            if not (root / "etc/ssh").is_dir() or (root / path.lstrip("/")).exists():
                continue
            log(f"Creating SSH host key 'ssh_host_{kind}_key' - this may take some time ...")
            name = f"root@{options.name(container.vmid, config)}"
            await self._chroot(container, "ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", path)
            shown = await self._chroot(container, "ssh-keygen", "-l", "-f", path)
            log(f"done: {' '.join(shown.split()[1:3])}")

    async def _chroot(self, container: Container, *command: str, stdin: str = "") -> str:
        words = ("chroot", str(container.rootfs), *command)
        return (await self.world.must(*words, stdin=stdin.encode())).text

    @asynccontextmanager
    async def _mounted(self, vmid: int, node: str, config: Config) -> AsyncIterator[Container]:
        container = Container(self.world, vmid)
        volume = storage.get(self._cluster, node, properties.parse("rootfs", config["rootfs"])["volume"])
        await container.mount(self.layers.folder, self.layers.mount(volume))
        try:
            yield container
        finally:
            await container.unmount()

    async def snapshot(self, guest: Guest, volume: Volume, name: str) -> None:
        if guest.kind == "lxc":
            below = await self._sealed(guest, volume)
            self.layers.stack(volume)["snapshots"][name] = below
            self.layers.settle(below)

    async def _sealed(self, guest: Guest, volume: Volume) -> list[str]:
        container = Container(self.world, guest.vmid)
        if guest.running is None:
            return await self.layers.seal(volume, mounted=False)
        await container.freeze()
        try:
            return await self.layers.seal(volume, mounted=True)
        finally:
            await container.unfreeze()

    async def drop_snapshot(self, guest: Guest, volume: Volume, name: str) -> None:
        if guest.kind == "lxc":
            self.layers.stack(volume)["snapshots"].pop(name, None)
            await self.layers.collect(self._cluster.volumes.values())

    async def rollback(self, guest: Guest, volume: Volume, name: str) -> None:
        if guest.kind == "lxc":
            self.layers.restore(volume, self.layers.stack(volume)["snapshots"].get(name, ()))
            await self.layers.collect(self._cluster.volumes.values())

    async def copy(self, source: Volume, target: Volume, snapshot: str | None = None) -> None:
        if "layers" not in source.extra:
            return
        guest = self._cluster.guests.get(source.vmid or 0)
        if snapshot:
            below = self.layers.stack(source)["snapshots"].get(snapshot, ())
        else:
            below = await self._sealed(guest, source) if guest else await self.layers.seal(source, mounted=False)
        self.layers.plant(target, below)
        self.layers.settle(below)
        if source.vmid != target.vmid and below and str(below[-1]).startswith("base-"):
            self.layers.forget_identity(target)

    async def archive(self, guest: Guest, volume: Volume) -> dict[str, Any]:
        if guest.kind != "lxc":
            return {}
        return {"layers": {"below": await self._sealed(guest, volume)}}

    # Power

    async def start(self, guest: Guest) -> int | None:
        if guest.kind != "lxc":
            return None
        config, container = guest.config, Container(self.world, guest.vmid)
        mounts: dict[str, str] = {}
        if ending := self._endings.pop(guest.vmid, None):
            await asyncio.wait({ending})
        try:
            await container.unmount()
            for key, parts in properties.mounts(config):
                if properties.mount_type(parts["volume"]) != "volume":
                    raise TaskFailed(f"{key}: this simulator mounts no directories or devices of the machine")
                volume = storage.get(self._cluster, guest.node, parts["volume"])
                if key == "rootfs" and "layers" not in volume.extra:  # one that the seed has brought
                    tree = await cache.unpacked(_SEEDED)
                    self.layers.plant(volume, [self.layers.base(tree)])
                await container.mount(self.layers.folder, self.layers.mount(volume), key)
                if key != "rootfs":
                    mounts[key] = parts["mp"]
            interfaces = networks.interfaces(self._cluster, guest, config)
            for each in interfaces:
                await self.world.bridge(each.link.bridge, each.gateways)
            identity = networks.identity(self._cluster, guest, config, interfaces, self.world, PROXY_PORT)
            root = self.world.path(container.rootfs)
            await self._host_keys(container, config, lambda _: None)
            if config.get("ostype") != "unmanaged":
                await asyncio.to_thread(inside.write, root, identity)
            container.configure(
                identity.hostname,
                limits(config),
                [each.link for each in interfaces],
                mounts,
                guest.raw_lxc,
                nesting="nesting=1" in config.get("features", "").split(","),
            )
            await container.start()
            return await self._running(guest)
        except (TaskFailed, OSError) as error:
            await container.kill()
            await _gone(container)
            await container.unmount()
            raise TaskFailed(str(error)) from error

    async def _running(self, guest: Guest) -> int:
        """It runs: watch it, make its addresses known."""
        container = Container(self.world, guest.vmid)
        init = await container.init()
        self._inits[guest.vmid] = init
        self._applied[guest.vmid] = dict(guest.running or guest.config)
        self._watch(guest.vmid, container)
        for each in networks.interfaces(self._cluster, guest, self._applied[guest.vmid]):
            if each.address:
                await self.world.reach(each.address, each.link.bridge)
        return init

    async def stop(self, guest: Guest, *, force: bool, timeout: float | None = None) -> None:
        if guest.kind != "lxc":
            return
        container = Container(self.world, guest.vmid)
        self._unwatch(guest.vmid)  # else it would seem to go down by itself
        if not force:
            try:
                await container.shutdown(SHUTDOWN_SECONDS if timeout is None else timeout)
            except TaskFailed:
                self._watch(guest.vmid, container)
                raise
        await container.kill()
        await _gone(container)
        await self._down(guest)

    async def _down(self, guest: Guest) -> None:
        for each in networks.interfaces(self._cluster, guest, self._applied.pop(guest.vmid, {})):
            if each.address:
                await self.world.leave(each.address, each.link.bridge)
        self._inits.pop(guest.vmid, None)
        await Container(self.world, guest.vmid).unmount()

    def _watch(self, vmid: int, container: Container) -> None:
        monitor = container.monitor()
        if monitor is None:
            raise TaskFailed(f"container '{vmid}' went down while it started: see {container.folder / 'log'}")
        descriptor = os.pidfd_open(monitor)
        self._watched[vmid] = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._fell, vmid)

    def _unwatch(self, vmid: int) -> None:
        descriptor = self._watched.pop(vmid, None)
        if descriptor is not None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)

    def _fell(self, vmid: int) -> None:
        """It went down by itself."""
        self._unwatch(vmid)
        guest = self._cluster.guests.get(vmid)
        if guest is None:
            return
        guest.running = guest.pid = guest.started_at = None
        self._endings[vmid] = asyncio.get_running_loop().create_task(self._down(guest))
        self.changed()

    async def apply(self, guest: Guest) -> None:
        before = self._applied.get(guest.vmid)
        if guest.kind != "lxc" or guest.running is None or before is None or before == guest.running:
            return
        self._applied[guest.vmid] = dict(guest.running)
        container = Container(self.world, guest.vmid)
        if limits(before) != limits(guest.running):
            await container.limit(limits(guest.running))
        await networks.replug(self._cluster, guest, before, self.world, await container.init())

    async def destroy(self, guest: Guest) -> None:
        if guest.kind == "lxc":
            container = Container(self.world, guest.vmid)
            self._unwatch(guest.vmid)
            await container.unmount()
            await asyncio.to_thread(shutil.rmtree, container.folder, ignore_errors=True)
            await self.layers.collect(self._cluster.volumes.values())

    # Inside

    async def exec(self, guest: Guest, command: list[str], stdin: str) -> tuple[int, str, str]:
        if guest.kind != "lxc":
            return 0, "", ""
        status, out, err = await self.exec_bytes(guest, command, stdin.encode())
        return status, out.decode(errors="replace"), err.decode(errors="replace")

    async def exec_bytes(self, guest: Guest, command: list[str], stdin: bytes) -> tuple[int, bytes, bytes]:
        """The same for content that is no text."""
        done = await run(*self.attach(guest, command), stdin=stdin, timeout=_EXEC_SECONDS)
        return done.status, done.out, done.err

    def attach(self, guest: Guest, command: list[str]) -> list[str]:
        """The command line on this machine that runs `command` in the container."""
        return Container(self.world, guest.vmid).attach(command)

    async def addresses(self, guest: Guest) -> dict[str, list[str]]:
        init = self._inits.get(guest.vmid)
        if guest.kind != "lxc" or init is None:
            return {}
        container = Container(self.world, guest.vmid)
        found = await container.addresses(init)
        if not found:  # it has a new init after a reboot from inside
            with contextlib.suppress(TaskFailed):
                self._inits[guest.vmid] = guest.pid = await container.init()
                found = await container.addresses(guest.pid)
        return found


def limits(config: Config) -> Limits:
    """What the settings allow it to use."""
    memory = options.memory_mib(config) * 2**20
    cores, share = config.get("cores", "").strip(), config.get("cpulimit", "").strip()
    return Limits(memory, options.swap_mib(config) * 2**20, int(cores or 0), float(share or 0))


async def _gone(container: Container) -> None:
    """Return when its monitor has ended, which is a moment after LXC says so."""
    for _ in range(200):
        if container.monitor() is None:
            return
        await asyncio.sleep(0.02)
    raise TaskFailed(f"container '{container.vmid}' does not end")


def _ident(home: Path) -> int:
    """What the names of this simulator's devices and control groups are made of: stays with the directory."""
    try:
        return int(json.loads((home / "world.json").read_text())["ident"])
    except (OSError, ValueError, KeyError):
        return os.getpid()
