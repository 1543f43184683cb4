"""What guests are made from: files that a node downloads, that Nix builds, or that somebody put on a storage."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from innkeeper.model.base import Plain, Value

REFERENCE = "Image/"
"""`Image/NAME` in `template` or `importFrom` stands for the volume of that image."""

BROUGHT = "innkeeper-"
"""How the file of an image begins that a node was given."""

ImageFormat = Literal["qcow2", "raw", "vmdk", "tar.gz", "tar.xz", "tar.zst"]
FORMATS: tuple[ImageFormat, ...] = ("qcow2", "raw", "vmdk", "tar.gz", "tar.xz", "tar.zst")
"""Disks of virtual machines and templates of containers, by the endings that Proxmox takes (PVE::Storage)."""


class NixOutput(Value):
    """An output of a flake beside the manifest that is a disk or a template, or a directory that holds one."""

    flake: Annotated[
        str,
        StringConstraints(pattern=r"^(\.|[A-Za-z0-9._][A-Za-z0-9._/ -]*)$"),
        Field(description="a directory below the manifest's own, such as images; . for that itself"),
    ] = "."
    output: Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_'-]*(\.[A-Za-z0-9_][A-Za-z0-9_'-]*)*$", max_length=300),
        Field(description="an output such as nixosConfigurations.web.config.system.build.qcow2"),
    ]


class ImageSpec(Value):
    """One of `url`, `nix` and `volume` says where it comes from.

    `storage` is where nodes keep it; its content must be `import` (disks) or `vztmpl` (templates of containers).
    `format` left out is what the URL ends with, and qcow2 for an output of Nix. `replaceGuests`: a guest that was made
    from an earlier version of the image is due for replacement, which a person allows as always.
    """

    url: (
        Annotated[
            str,
            StringConstraints(pattern=r"^https?://[^\s@\"']+$"),
            Field(description="an http or https URL without user and white space, which the node downloads"),
        ]
        | None
    ) = None
    checksum: (
        Annotated[
            str,
            StringConstraints(pattern=r"^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$"),
            Field(description="sha256: or sha512: and the digits of the file's checksum"),
        ]
        | None
    ) = None
    nix: NixOutput | None = None
    volume: Annotated[Plain, StringConstraints(pattern=r"^[^:/]+:.+$")] | None = None
    storage: Plain = "local"
    format: ImageFormat | None = None
    replace_guests: bool = False

    @model_validator(mode="after")
    def _one(self) -> "ImageSpec":
        if sum(way is not None for way in (self.url, self.nix, self.volume)) != 1:
            raise ValueError(
                "name exactly one of url (a node downloads it), nix (it is built) and volume (it is there)"
            )
        if (self.url is None) != (self.checksum is None):
            raise ValueError("url and checksum go together: what is downloaded must be what was meant")
        if self.volume is not None and {"storage", "format"} & self.model_fields_set:
            raise ValueError("volume says its storage and format by itself")
        if self.url is not None and self.format is None and _ending(self.url) is None:
            raise ValueError(
                f"what the url leads to has none of the known endings: name its format ({', '.join(FORMATS)})"
            )
        return self

    @property
    def form(self) -> ImageFormat:
        """`format`, or what stands for it where it is left out."""
        return self.format or (_ending(self.url) if self.url else None) or "qcow2"


def _ending(url: str) -> ImageFormat | None:
    path = url.partition("?")[0].partition("#")[0]
    return next((form for form in FORMATS if path.endswith(f".{form}")), None)


@dataclass(frozen=True, slots=True)
class Build:
    """What Nix makes of a flake: `directory` is absolute, `derivation` its recipe's path in the store."""

    directory: str
    output: str
    derivation: str
    format: ImageFormat


@dataclass(frozen=True, slots=True)
class Image:
    """An image as guests are made from it. `volume` carries the first digits of what it is made of in its name, so
    that another content is another volume; `url` with `checksum` or `build` say how a node gets it, else it is there.
    """

    name: str
    volume: str
    replace_guests: bool = False
    url: str = ""
    checksum: str = ""
    build: Build | None = None

    @property
    def provided(self) -> bool:
        """Whether a node that lacks it is given it."""
        return bool(self.url) or self.build is not None

    @property
    def storage(self) -> str:
        return self.volume.partition(":")[0]

    @property
    def content(self) -> str:
        """The storage's content that it is, as Proxmox names it: `import` or `vztmpl`."""
        return self.volume.partition(":")[2].partition("/")[0]

    @property
    def file(self) -> str:
        return self.volume.rpartition("/")[2]


def volume_of(name: str, spec: ImageSpec, digits: str) -> str:
    """The volume id of an image that nodes are given; `digits` name its content.

    No short name of a template (`debian-12`) begins as its file does, so that none means it.
    """
    content = "vztmpl" if spec.form.startswith("tar.") else "import"
    return f"{spec.storage}:{content}/{BROUGHT}{name}-{digits[:12]}.{spec.form}"
