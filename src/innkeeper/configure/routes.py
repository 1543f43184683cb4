"""How a guest is reached: at its address, at its address through its node, or by `pct exec` on its node. Pure."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from innkeeper.configure.keep import Keep
from innkeeper.engine.errors import Stalled
from innkeeper.engine.inside import Target
from innkeeper.model.objects import Cluster, NodeSsh

SSH_PORT = 22


@dataclass(frozen=True, slots=True)
class Hop:
    """One SSH server. `alias` is its name in `known_hosts`, None where that file is the user's own."""

    host: str
    port: int
    user: str
    key_file: Path
    known_hosts: Path
    alias: str | None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == SSH_PORT else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Route:
    """The hops in order; the last one is the guest itself unless `pct` says what to put before its commands."""

    hops: tuple[Hop, ...]
    pct: tuple[str, ...] = ()

    @property
    def jump(self) -> Hop | None:
        return self.hops[0] if len(self.hops) > 1 else None


def alias(vmid: int) -> str:
    return f"guest-{vmid}"


def route(target: Target, user: str, keep: Keep, who: str) -> Route:
    """The way into a guest. Stalled where there is none."""
    cluster, ssh = target.cluster, target.cluster.spec.ssh
    if target.address is not None:
        guest = Hop(
            target.address,
            SSH_PORT,
            user,
            keep.private_key(cluster.name),
            keep.host_key_file(cluster.name, alias(target.vmid)),
            alias(target.vmid),
        )
        return Route((_node(target, ssh, keep), guest) if ssh is not None and ssh.jump else (guest,))
    if ssh is None:
        raise Stalled(
            f"{who} has no address that is known",
            "give it one, wait for its DHCP lease, or let Innkeeper use pct exec on its node: "
            f"add ssh: {{user: root}} to the spec of cluster {cluster.name}",
        )
    if target.kind != "Container":
        raise Stalled(
            f"{who} has no address that is known, and only containers are reached without one",
            "give it a static address, or install the guest agent, so that Proxmox tells its address",
        )
    sudo = () if ssh.user == "root" else ("sudo", "-n")
    return Route((_node(target, ssh, keep),), (*sudo, "pct", "exec", str(target.vmid), "--"))


def _node(target: Target, ssh: NodeSsh, keep: Keep) -> Hop:
    cluster = target.cluster
    host, port = _address(ssh.hosts.get(target.node) or _default_host(cluster, target.node))
    directory = Path(cluster.origin.directory)
    name = f"node-{target.node}"
    return Hop(
        host,
        port or ssh.port,
        ssh.user,
        _under(directory, ssh.key_file) if ssh.key_file else keep.private_key(cluster.name),
        _under(directory, ssh.known_hosts) if ssh.known_hosts else keep.host_key_file(cluster.name, name),
        None if ssh.known_hosts else name,
    )


def _default_host(cluster: Cluster, node: str) -> str:
    endpoints = cluster.spec.endpoints
    host = urlsplit(endpoints[0]).hostname if len(endpoints) == 1 else None
    return f"[{host}]" if host and ":" in host else host or node


def _address(text: str) -> tuple[str, int | None]:
    if text.count(":") > 1 and not text.startswith("["):
        return text, None
    host, _, port = text.rpartition(":") if not text.endswith("]") and ":" in text else (text, "", "")
    return host.strip("[]"), int(port) if port else None


def _under(directory: Path, name: str) -> Path:
    return directory / Path(name).expanduser()


def ssh_config(way: Route, control: str) -> str:
    """OpenSSH's configuration for this route, whatever name is asked for.

    `control` is the shared connection's socket, relative to where ssh runs: a socket's whole path must be short.
    """
    last = way.hops[-1]
    sections = []
    if (jump := way.jump) is not None:
        sections += ["Host innkeeper-node", *_section(jump)]
        sections += ["Host * !innkeeper-node", "  ProxyJump innkeeper-node"]
    else:
        sections += ["Host *"]
    sections += _section(last)
    sections += [f"  ControlPath {control}", "  ControlMaster auto", "  ControlPersist 60"]
    return "\n".join(sections) + "\n"


def _section(hop: Hop) -> list[str]:
    lines = [
        f"  HostName {hop.host}",
        f"  Port {hop.port}",
        f"  User {hop.user}",
        f"  IdentityFile {_word(hop.key_file)}",
        "  IdentitiesOnly yes",
        "  IdentityAgent none",
        f"  UserKnownHostsFile {_word(hop.known_hosts)}",
        "  GlobalKnownHostsFile none",
        "  StrictHostKeyChecking yes",
        "  PasswordAuthentication no",
        "  BatchMode yes",
        "  ConnectTimeout 10",
        "  ServerAliveInterval 15",
    ]
    return [*lines, f"  HostKeyAlias {hop.alias}", "  CheckHostIP no"] if hop.alias else lines


def _word(path: Path) -> str:
    return '"' + str(path.absolute()).replace("%", "%%") + '"'
