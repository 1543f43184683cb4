"""Files that a node writes into a container: its name, its networks, name servers, who may log in, where packages are.

As on a real node they are written again at every start (PVE::LXC::Setup: set_hostname, set_dns, setup_network), each
in a marked section, so that what the guest itself has put around it stays. Debian and its kind only.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pvesim.backends.lxc import registries
from pvesim.errors import TaskFailed

BEGIN, END = "# --- BEGIN PVE ---", "# --- END PVE ---"


@dataclass(frozen=True)
class Interface:
    """One network of a container as its files have it; addresses in CIDR form, "" for none."""

    name: str
    ip: str = ""
    gateway: str = ""
    ip6: str = ""
    gateway6: str = ""
    routes: Sequence[tuple[str, str]] = ()  # (network, via) that the node needs where there is no gateway


@dataclass(frozen=True)
class Identity:
    """What a container is told about itself; `proxy` is the URL of the node's package proxy, "" for none."""

    hostname: str
    interfaces: Sequence[Interface] = ()
    nameservers: Sequence[str] = ()
    search: str = ""
    proxy: str = ""


def system(root: Path) -> str:
    """What is installed below `root`, as templates are named (`debian-12`); empty where it does not say."""
    try:
        text = (root / "etc/os-release").read_text(errors="replace")
    except OSError:
        return ""
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return "-".join(filter(None, (found.get(key, "").strip("\"'") for key in ("ID", "VERSION_ID"))))


def write(root: Path, identity: Identity) -> None:
    """Write everything that depends on the container's settings below `root`."""
    short, _, domain = identity.hostname.partition(".")
    put(root, "etc/hostname", f"{short}\n")
    address = next((iface.ip.partition("/")[0] for iface in identity.interfaces if iface.ip), "127.0.1.1")
    names = f"{short}.{domain} {short}" if domain or identity.search else short
    if identity.search and not domain:
        names = f"{short}.{identity.search.split()[0]} {short}"
    local = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback"
    section(root, "etc/hosts", f"{local}\n{address} {names}")
    section(root, "etc/network/interfaces", interfaces(identity.interfaces))
    resolver = [f"search {identity.search}"] if identity.search else []
    resolver += [f"nameserver {address}" for address in identity.nameservers]
    section(root, "etc/resolv.conf", "\n".join(resolver))
    _packages(root, identity.proxy, registries.named())


def _packages(root: Path, proxy: str, sources: registries.Named) -> None:
    """The only way to packages is the node's proxy, for apt, pip and npm alike; `sources` are the machine's own."""
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    put(root, "etc/apt/apt.conf.d/00proxy", f'Acquire::http::Proxy "{proxy}";\n' if proxy else "")
    pip = f"[global]\nproxy = {proxy}\ncert = {bundle}\n" if proxy else ""
    if proxy and sources.index:
        pip += f"index-url = {sources.index}\n"
        pip += f"trusted-host = {urlsplit(sources.index).netloc}\n" if sources.index.startswith("http:") else ""
    put(root, "etc/pip.conf", pip)
    npm = f"proxy={proxy}\nhttps-proxy={proxy}\ncafile={bundle}\n" if proxy else ""
    npm += f"registry={sources.registry}\n" if proxy and sources.registry else ""
    put(root, "etc/npmrc", npm)  # Debian's npm; the one of Node.js itself looks below its prefix
    put(root, "usr/etc/npmrc", npm)


def interfaces(found: Sequence[Interface]) -> str:
    """The text of /etc/network/interfaces, as ifupdown reads it."""
    blocks = ["auto lo\niface lo inet loopback"]
    for iface in found:
        lines = [f"auto {iface.name}", f"iface {iface.name} inet {'static' if iface.ip else 'manual'}"]
        if iface.ip:
            lines.append(f"\taddress {iface.ip}")
        if iface.gateway:
            on_link = ipaddress.ip_address(iface.gateway) in ipaddress.ip_interface(iface.ip).network
            if on_link:
                lines.append(f"\tgateway {iface.gateway}")
            else:
                lines.append(f"\tpost-up ip route add {iface.gateway} dev {iface.name}")
                lines.append(f"\tpost-up ip route add default via {iface.gateway} dev {iface.name}")
        lines += [f"\tpost-up ip route add {network} via {via} || true" for network, via in iface.routes]
        if iface.ip6:
            lines += ["", f"iface {iface.name} inet6 static", f"\taddress {iface.ip6}"]
            lines += [f"\tgateway {iface.gateway6}"] if iface.gateway6 else []
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def authorize(root: Path, keys: str) -> None:
    """Let the holders of these public keys log in as root."""
    put(root, "root/.ssh/authorized_keys", keys.rstrip("\n") + "\n", mode=0o600, folder_mode=0o700)


def section(root: Path, path: str, text: str) -> None:
    """Replace the marked section of a file, or put one before what is there."""
    old = _read(root, path)
    before, begin, rest = old.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(f"{END}\n")
    marked = f"{BEGIN}\n{text}\n{END}\n"
    put(root, path, before + marked + after if begin and end else marked + old)


def put(root: Path, path: str, text: str, *, mode: int = 0o644, folder_mode: int = 0o755) -> None:
    """Write a file below `root`, "" removes it; a link in its place is replaced, one on the way is refused."""
    _change(root, path, folder_mode, lambda folder, name: _replace(folder, name, text, mode))


def _read(root: Path, path: str) -> str:
    target = root / path
    try:
        return "" if target.is_symlink() else target.read_text("utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""


def _change(root: Path, path: str, folder_mode: int, act: Callable[[Path, str], None]) -> None:
    folder = root
    for part in Path(path).parts[:-1]:
        folder /= part
        if folder.is_symlink():  # an absolute link would lead out of the container
            raise TaskFailed(f"unable to write /{path} in the container: {part} is a symbolic link")
        if not folder.is_dir():
            folder.mkdir(mode=folder_mode)
            folder.chmod(folder_mode)
    act(folder, Path(path).name)


def _replace(folder: Path, name: str, text: str, mode: int) -> None:
    if not text:
        (folder / name).unlink(missing_ok=True)
        return
    fresh = folder / f".{name}.pve"
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    fresh.chmod(mode)
    fresh.replace(folder / name)
