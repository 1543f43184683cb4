"""What must hold inside a guest: roles that configure it, checks that prove it, secrets by reference."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from innkeeper.model.base import Name, Value

RoleName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-zA-Z0-9_]([a-zA-Z0-9_./-]*[a-zA-Z0-9_])?$"),
    Field(description="a role's name such as web, or its directory such as roles/mine"),
]
"""A bundled role, or a role directory beside the manifest; `..` is refused when it is looked up."""


MACHINE_FILE = re.compile(r"(container|config)(\.[A-Za-z0-9_-]+)?\.env")
"""What says how the machine is, where that stands beside the role that configures it; no part of the role."""


CONTROL_PLANE = "innkeeper"
"""The bundled role that installs a server, and hands the keys on of the Innkeeper that runs it."""

FILE_REF = "fileRef"
"""`{fileRef: PATH}` in a role's variables stands for the text of a file below the manifest's directory."""


class SecretRef(Value):
    """A secret by its place: `name` is a secret store of the source (`env` for the environment), `key` a key in it."""

    name: Name
    key: Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$"),
        Field(description="a key: letters, digits, _ . -"),
    ]


class Role(Value):
    """One role with its variables; a value may be `{secretRef: {name, key}}` or `{fileRef: path}` at any depth."""

    role: RoleName
    vars: dict[
        Annotated[
            str,
            StringConstraints(pattern=r"^[a-z_][a-z0-9_]*$"),
            Field(description="a variable: lower-case letters, digits, _"),
        ],
        object,
    ] = {}


class Configure(Value):
    """`user` is whom Ansible signs in as; it becomes root by sudo where it is another."""

    roles: tuple[Role, ...] = ()
    user: Annotated[
        str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]*$"), Field(description="a user such as root or debian")
    ] = "root"
    secrets: dict[Name, "SecretStore"] = {}


class SecretStore(Value):
    """Where a store's keys come from: environment variables with a prefix, a directory of files, an encrypted file."""

    env: str | None = None
    files: str | None = None
    vault: str | None = None
    vault_password_file: str | None = None
    vault_password_command: str | None = None
    sops: str | None = None
    age: str | None = None
    age_identity: str | None = None

    @model_validator(mode="after")
    def _one(self) -> "SecretStore":
        if sum(way is not None for way in (self.env, self.files, self.vault, self.sops, self.age)) != 1:
            raise ValueError("name exactly one of env, files, vault, sops and age")
        return self


Port = Annotated[int, Field(ge=1, le=65535)]


class HttpCheck(Value):
    port: Port = 80
    path: Annotated[str, StringConstraints(pattern=r"^/[^\s]*$"), Field(description="a path such as /health")] = "/"
    status: Annotated[int, Field(ge=100, le=599)] = 200
    contains: str | None = None
    scheme: Literal["http", "https"] = "http"


class Check(Value):
    """One health check: exactly one of tcp, http (from where Innkeeper runs), systemd, command (inside the guest)."""

    tcp: Port | None = None
    http: HttpCheck | None = None
    systemd: (
        Annotated[
            str,
            StringConstraints(pattern=r"^[A-Za-z0-9:_.@-]+$"),
            Field(description="a unit such as nginx or nginx.service"),
        ]
        | None
    ) = None
    command: str | None = None
    name: str | None = None
    timeout: Annotated[float, Field(gt=0, le=600, strict=False)] = 10.0

    @model_validator(mode="after")
    def _one(self) -> "Check":
        if sum(way is not None for way in (self.tcp, self.http, self.systemd, self.command)) != 1:
            raise ValueError("name exactly one of tcp, http, systemd and command")
        return self

    @property
    def title(self) -> str:
        if self.name:
            return self.name
        if self.tcp is not None:
            return f"tcp {self.tcp}"
        if self.http is not None:
            return f"{self.http.scheme} {self.http.port}{self.http.path}"
        return f"systemd {self.systemd}" if self.systemd is not None else f"command {self.command}"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`detail` is the last answer: what came instead of what was expected."""

    name: str
    ok: bool
    detail: str = ""

    def to_json(self) -> dict[str, object]:
        return {"name": self.name, "ok": self.ok, "detail": self.detail}
