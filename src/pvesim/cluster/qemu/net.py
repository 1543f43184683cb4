"""Network devices of a virtual machine (PVE::QemuServer::Network) and the settings cloud-init makes of `ipconfigN`."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from pvesim.cluster.qemu import properties

MODELS = properties.words(
    "e1000 e1000-82540em e1000-82544gc e1000-82545em e1000e i82551 i82557b i82559er ne2k_isa ne2k_pci pcnet rtl8139 "
    "virtio vmxnet3"
)
DEFAULT_PREFIX = "BC:24:11"
_FLAGS = frozenset({"firewall", "link_down"})
IS_NET = re.compile(r"net\d+")


@dataclass(frozen=True, slots=True)
class Net:
    """One device; the MAC keeps its case; bridge, tag, firewall and the like in `options`."""

    model: str
    mac: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def bridge(self) -> str | None:
        return self.options.get("bridge")

    def text(self) -> str:
        """As it stands in the config file."""
        return properties.join(self.options, first=[f"{self.model}={self.mac}"])


def random_mac(prefix: str | None = None) -> str:
    """A new address below the cluster's `mac_prefix` (PVE::Tools, random_ether_addr)."""
    start = (prefix or DEFAULT_PREFIX).upper().rstrip(":").split(":")
    return ":".join([*start, *(f"{secrets.randbelow(256):02X}" for _ in range(6 - len(start)))])


def parse(text: str, prefix: str | None = None) -> Net:
    """The device; without an address it gets a random one."""
    model, mac, options = "", "", {}
    for key, value in properties.split(text, "model").items():
        if key in MODELS:
            model, mac = key, value
        elif key == "model":
            model = value
        elif key == "macaddr":
            mac = value
        else:
            options[key] = str(int(properties.flag(value))) if key in _FLAGS else value
    return Net(model, mac or random_mac(prefix), options)


def nets(config: Mapping[str, str]) -> dict[str, Net]:
    """The devices of a section by slot, in order."""
    slots = sorted((key for key in config if IS_NET.fullmatch(key)), key=lambda key: int(key[3:]))
    return {slot: parse(config[slot]) for slot in slots}
