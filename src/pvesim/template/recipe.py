"""How a template is made: the packages in it, and where this machine itself gets Debian from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

APT = Path("/etc/apt")
AUTHORITIES = Path("/usr/local/share/ca-certificates")
CODENAMES = {"debian-12": "bookworm", "debian-13": "trixie"}
PACKAGES = (
    *("systemd-sysv", "dbus", "openssh-server", "python3-minimal", "python3-apt", "ifupdown", "iproute2"),
    *("ca-certificates", "procps", "netbase"),
)
FAT = (
    *("nginx-light", "postgresql", "cron", "ufw", "curl", "sudo", "git", "locales", "python3-venv"),
    *("python3-psycopg2", "unattended-upgrades", "acl"),
)
_EXCLUDED = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
_REVISION = 2  # to be raised when the recipe changes in a way that its values do not show


class RecipeError(Exception):
    """A template that cannot be made here; the text says what is missing."""


@dataclass(frozen=True)
class Recipe:
    """One template. `sources` are lines as of sources.list, `authorities` files that guests must trust as well."""

    name: str
    fat: bool
    codename: str
    packages: tuple[str, ...]
    sources: tuple[str, ...]
    authorities: tuple[Path, ...]

    @property
    def digest(self) -> str:
        """Changes with everything that the template depends on."""
        facts = [_REVISION, self.name, self.codename, self.packages, self.sources, _EXCLUDED]
        facts += [path.read_text(errors="replace") for path in self.authorities]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]

    @property
    def short_name(self) -> str:
        return f"{self.name}-fat" if self.fat else self.name

    @property
    def file_name(self) -> str:
        return f"{self.short_name}_{self.digest}.tar.zst"

    def command(self, output: Path) -> list[str]:
        """The mmdebstrap call that writes `output`; a format that its name tells."""
        words = ["mmdebstrap", "--variant=apt", "--quiet", f"--include={','.join(self.packages)}"]
        words += [f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED]
        words += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
        # every container makes its own identity
        words += ['--customize-hook=rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/hostname "$1"/etc/resolv.conf']
        words += ['--customize-hook=rm -f "$1"/etc/network/interfaces; : > "$1"/etc/machine-id']
        if self.authorities:
            folder = "/usr/local/share/ca-certificates"
            words.append(f"--customize-hook=copy-in {' '.join(map(str, self.authorities))} {folder}")
            words.append('--customize-hook=chroot "$1" update-ca-certificates > /dev/null')
        return [*words, self.codename, str(output), *self.sources]


def find(name: str, *, fat: bool = False, apt: Path = APT) -> Recipe:
    """The recipe of `debian-12` on this machine; RecipeError for another name, or where no source is known."""
    if name not in CODENAMES:
        raise RecipeError(f"there is no recipe for '{name}': only for {', '.join(CODENAMES)}")
    codename = CODENAMES[name]
    lines = sources(codename, apt)
    if not lines:
        raise RecipeError(
            f"{apt} names no source of Debian: `pvesim template build` reads packages from where apt does"
        )
    authorities = tuple(sorted(AUTHORITIES.glob("*.crt"))) if AUTHORITIES.is_dir() else ()
    return Recipe(name, fat, codename, PACKAGES + (FAT if fat else ()), lines, authorities)


def sources(codename: str, apt: Path = APT) -> tuple[str, ...]:
    """This machine's sources of Debian as lines, with `codename` in place of its own release."""
    found = []
    for options, uri, suite, components in _entries(apt):
        release = next((known for known in CODENAMES.values() if re.fullmatch(rf"{known}(-[a-z]+)*", suite)), None)
        if release:
            line = " ".join(filter(None, ["deb", options, uri, suite.replace(release, codename), components]))
            if line not in found:
                found.append(line)
    return tuple(found)


def hosts(apt: Path = APT) -> set[str]:
    """The hosts that this machine's apt sources name."""
    return {match[1] for _, uri, _, _ in _entries(apt) if (match := re.match(r"https?://([^/:]+)", uri))}


def _entries(apt: Path) -> Iterator[tuple[str, str, str, str]]:
    """(options, uri, suite, components) of every source, from both kinds of files."""
    lists = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))]
    for path in filter(Path.is_file, lists):
        for line in path.read_text(errors="replace").splitlines():
            match = re.match(r"deb\s+(\[[^]]*\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line.strip())
            if match:
                yield (match[1] or "").strip(), match[2], match[3], match[4].strip()
    for path in sorted((apt / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text(errors="replace")):
            yield from _stanza(stanza)


def _stanza(text: str) -> Iterator[tuple[str, str, str, str]]:
    fields: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields[key] = f"{fields.get(key, '')}\n{line.strip()}"
        else:
            key, _, value = line.partition(":")
            key = key.strip().lower()
            fields[key] = value.strip()
    if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes") == "no":
        return
    signed = fields.get("signed-by", "")
    options = f"[signed-by={signed}]" if signed.startswith("/") else ""
    for uri in fields.get("uris", "").split():
        for suite in fields.get("suites", "").split():
            yield options, uri, suite, fields.get("components", "")
