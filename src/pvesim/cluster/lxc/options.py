"""A container's settings: which there are, how they stand in the config file, how JSON shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pvesim import schema
from pvesim.cluster.state import Cluster

_CREATE = "PUT /nodes/{node}/lxc/{vmid}/config"
_NOT_OPTIONS = frozenset({"node", "vmid", "delete", "revert", "digest"})
_OWN = {"parent": "string", "snaptime": "integer"}  # what snapshots add to the config
AT_ONCE = frozenset(
    {"description", "onboot", "startup", "protection", "hostname", "hookscript", "cores", "tags", "lock"}
)  # settings of a running container that nothing has to be told of
EMPTY = " "  # what an empty text is read back as
DEFAULT_MEMORY = 512  # MiB
CPUUNITS = (1, 10000)  # what cgroup v2 takes


def exists(cluster: Cluster, name: str) -> bool:
    """Whether a container of this version has such a setting."""
    return name in _OWN or (name in _params(cluster) and name not in _NOT_OPTIONS)


def text(value: Any) -> str:
    """A checked parameter as the config file has it."""
    if isinstance(value, bool):
        return str(int(value))
    return str(value) if value not in (None, "") else EMPTY


def typed(cluster: Cluster, config: Mapping[str, str]) -> dict[str, Any]:
    """A section as JSON: integers and booleans are numbers, all else is text, numbers with a fraction too."""
    params = _params(cluster)
    kinds = {name: param.type for name in config if (param := params.get(name))} | _OWN
    return {name: _value(kinds.get(name, ""), text) for name, text in config.items()}


def description(text: str) -> str:
    """As it is read back from the `#` lines of the file: each line ended, no empty ones at the end."""
    lines = text.split("\n")
    while lines and not lines[-1]:
        lines.pop()
    return "".join(f"{line}\n" for line in lines)


def memory_mib(config: Mapping[str, str]) -> int:
    return _int(config.get("memory")) or DEFAULT_MEMORY


def swap_mib(config: Mapping[str, str]) -> int:
    return _int(config.get("swap")) or 0


def cpus(config: Mapping[str, str], host: int) -> float:
    """Cores that it may use: its limit, else its cores, else all of the host."""
    limit = float(config.get("cpulimit", "0").strip() or 0)
    found = limit or _int(config.get("cores")) or host
    return int(found) if float(found).is_integer() else found


def name(vmid: int, config: Mapping[str, str]) -> str:
    return (config.get("hostname") or f"CT{vmid}").replace(" ", "")


def clamp_cpuunits(value: Any) -> Any:
    """PVE::CGroup, clamp_cpu_shares."""
    return value if value is None else max(CPUUNITS[0], min(CPUUNITS[1], int(value)))


def unique_tags(cluster: Cluster, text: str) -> str:
    """Each tag once, sorted, in lower case, joined by `;`; the datacenter's tag-style may differ (get_unique_tags)."""
    style = dict(part.partition("=")[::2] for part in str(cluster.options.get("tag-style") or "").split(","))
    tags = [tag for tag in re.split(r"[,;\s\0]+", text) if tag]
    if not _true(style.get("case-sensitive")):
        tags = [tag.lower() for tag in tags]
    if style.get("ordering") != "config":
        tags.sort()
    return ";".join(dict.fromkeys(tags))


def _true(text: str | None) -> bool:
    return text in ("1", "on", "yes", "true")


def _int(text: str | None) -> int | None:
    return int(text) if text and text.strip().isdigit() else None


def _params(cluster: Cluster) -> Mapping[str, schema.Param]:
    return schema.load(schema.supported(cluster.release))[_CREATE].params


def _value(kind: str, text: str) -> Any:
    if kind in ("integer", "boolean") and re.fullmatch(r"\d+", text):
        return int(text)
    return text
