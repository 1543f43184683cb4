"""What is inside a template, told from its name: the distribution, its systemd, its architecture (PVE::LXC::Setup)."""

from __future__ import annotations

import re
from dataclasses import dataclass

NESTING_SYSTEMD = 232  # from this version on systemd wants nesting in an unprivileged container
_DISTRIBUTIONS = {
    "almalinux": "centos",
    "alpine": "alpine",
    "archlinux": "archlinux",
    "centos": "centos",
    "debian": "debian",
    "devuan": "devuan",
    "fedora": "fedora",
    "gentoo": "gentoo",
    "nixos": "nixos",
    "opensuse": "opensuse",
    "rockylinux": "centos",
    "turnkey": "debian",
    "ubuntu": "ubuntu",
}
_SYSTEMD = {
    "debian": {"9": 232, "10": 241, "11": 247, "12": 252, "13": 257},
    "ubuntu": {"18.04": 237, "20.04": 245, "22.04": 249, "24.04": 255, "25.04": 257, "25.10": 257},
    "centos": {"8": 239, "9": 252, "10": 257},
    "fedora": {"40": 255, "41": 256, "42": 257},
    "opensuse": {"15.5": 249, "15.6": 254},
    "archlinux": {"base": 257},
}
_ARCHITECTURES = ("amd64", "i386", "arm64", "armhf", "riscv64", "riscv32")


@dataclass(frozen=True)
class System:
    """`ostype` as the config names it; `systemd` its version, None where another init runs."""

    ostype: str
    arch: str
    systemd: int | None


def inside(template: str) -> System:
    """The system in an archive such as `local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst`."""
    name = re.split(r"[:/]", template)[-1].lower()
    words = re.split(r"[-_]", name)
    at = next((place for place, word in enumerate(words) if word in _DISTRIBUTIONS), None)
    ostype = "unmanaged" if at is None else _DISTRIBUTIONS[words[at]]
    release = "" if at is None else next(iter(words[at + 1 :]), "")
    arch = next((arch for arch in _ARCHITECTURES if arch in name), "amd64")
    return System(ostype, arch, _SYSTEMD.get(ostype, {}).get(release))


def systemd_of(config: dict[str, str]) -> int | None:
    """The systemd of a container that exists, as far as its distribution tells."""
    known = _SYSTEMD.get(config.get("ostype", ""), {})
    return max(known.values()) if known else None


def wants_nesting(systemd: int | None, config: dict[str, str]) -> bool:
    """Whether Proxmox warns: systemd, unprivileged, without nesting (check_systemd_nesting)."""
    if systemd is None or systemd < NESTING_SYSTEMD or config.get("unprivileged") != "1":
        return False
    return not re.search(r"(^|,)nesting=(1|on|yes|true)(,|$)", config.get("features", ""))
