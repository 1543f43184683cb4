"""One spelling for all spellings of a value, so that what Proxmox stored equals what was sent.

Forms: flag, integer, number, word, text, list (order counts), set and tags (it does not), addresses (a list of
addresses), ip, cidr (also dhcp, auto, manual), mac, size (bytes), shares (Proxmox clamps it), keys (`sshkeys`, URL
escaped), machine, parts (a property string; compared sub-key by sub-key, never here).
"""

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address, ip_interface
from urllib.parse import quote, unquote

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)")
_FLAGS = {"1": "1", "on": "1", "yes": "1", "true": "1", "0": "0", "off": "0", "no": "0", "false": "0"}
SHARES_LIMIT = 10_000
"""Proxmox cuts `cpuunits` to what cgroup v2 takes, when it is written (PVE::CGroup, clamp_cpu_shares)."""


def canonical(form: str, text: str) -> str:
    """The one spelling; a text that is not of its form comes back as it is, without blanks around."""
    text = text.strip()
    try:
        return _FORMS.get(form, str)(text)
    except (ValueError, InvalidOperation):
        return text


def same(form: str, wanted: str, found: str) -> bool:
    """Whether `found`, which Proxmox shows, fulfils `wanted`.

    `pc` and `q35` are fulfilled by any version of theirs: Proxmox pins one for Windows (PVE::QemuServer::Machine).
    """
    if wanted == found:
        return True
    if form == "machine" and wanted in ("pc", "q35"):
        prefix = ("pc-q35-",) if wanted == "q35" else ("pc-i440fx-",)
        return found == wanted or found.startswith(prefix)
    return canonical(form, wanted) == canonical(form, found)


def items(text: str) -> list[str]:
    """A list, separated by commas, semicolons, blanks or NULs (PVE::Tools, split_list)."""
    return re.findall(r"[^\s,;\0]+", text)


def parse_size(text: str) -> int:
    """Bytes of `512M`, `1.5G`, `1024` (PVE::JSONSchema, parse_size); ValueError for anything else."""
    found = _SIZE.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not a size")
    return int(Decimal(found[1]) * _UNITS[found[2]])


def format_size(size: int) -> str:
    """Bytes as Proxmox writes them into a volume's text: in the largest unit that keeps them whole.

    Source: PVE::JSONSchema, format_size.
    """
    for unit in ("T", "G", "M", "K"):
        if size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def escape_keys(lines: tuple[str, ...]) -> str:
    """Public keys as the parameter `sshkeys` takes them: one a line, URL-escaped whole."""
    return quote("\n".join(line.strip() for line in lines), safe="")


def key_lines(text: str) -> tuple[str, ...]:
    """The public keys in `sshkeys`."""
    return tuple(line.strip() for line in unquote(text).splitlines() if line.strip())


def notes(text: str) -> str:
    """Notes without what Proxmox adds or loses: line ends are `\\n`, no blank at any line's end or around the whole."""
    return "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")).strip()


def tags(text: str) -> tuple[str, ...]:
    """Tags in lower case, each once, sorted (PVE::GuestHelpers, get_unique_tags)."""
    return tuple(sorted({tag.lower() for tag in items(text)}))


def _integer(text: str) -> str:
    number = Decimal(text)
    if number != int(number):
        raise ValueError(text)
    return str(int(number))


def _number(text: str) -> str:
    return f"{Decimal(text).normalize():f}"


def _address(text: str) -> str:
    address, percent, zone = text.partition("%")
    return str(ip_address(address)) + percent + zone


def _addresses(text: str) -> str:
    return " ".join(canonical("ip", item) for item in items(text))


def _cidr(text: str) -> str:
    return str(ip_interface(text)) if "/" in text else text.lower()


_FORMS: dict[str, Callable[[str], str]] = {
    "flag": lambda text: _FLAGS.get(text.lower(), text),
    "integer": _integer,
    "number": _number,
    "list": lambda text: ";".join(items(text)),
    "set": lambda text: ";".join(sorted(set(items(text)))),
    "tags": lambda text: ";".join(tags(text)),
    "addresses": _addresses,
    "ip": _address,
    "cidr": _cidr,
    "mac": str.upper,
    "size": lambda text: str(parse_size(text)),
    "shares": lambda text: str(min(max(int(_integer(text)), 1), SHARES_LIMIT)),
    "keys": lambda text: "\n".join(key_lines(text)),
}
