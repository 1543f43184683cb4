"""What a repository's writer may not do unless the source allows it by name: rise above plain guests. Pure.

A writer of manifests must not become the one who runs a node (bind mounts, devices, hook scripts, raw lines, QEMU's
arguments, privileged containers) or the server (own Ansible code, own secret stores, own clusters).
"""

from collections.abc import Iterator
from pathlib import Path

from innkeeper.manifests.files import role_names
from innkeeper.manifests.loading import Loaded
from innkeeper.manifests.origins import finding
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.guests import ContainerSpec
from innkeeper.model.images import REFERENCE
from innkeeper.model.inside import CONTROL_PLANE, Configure, Role
from innkeeper.model.objects import ADOPT, Guest
from innkeeper.model.sources import Permission, Source

_DEVICES = ("dev", "hostpci", "usb", "serial", "parallel")
_RAW = ("lxc",)
_HARMLESS_DEVICES = frozenset({"socket", "spice"})
"""A serial port to look at the console by, and a USB port of the viewer's own machine."""
_COOKBOOK = "recipe_"
_BUNDLES = frozenset({"release_bundle", "app_setup_bundle", "python_app_bundle"})
"""A cookbook's directory and a repository's bundle are brought to the guest from where Ansible runs."""
_DRIVES = ("ide", "sata", "scsi", "virtio", "efidisk", "tpmstate")


def denied(loaded: Loaded, source: Source, own_roles: Path) -> tuple[Diagnostic, ...]:
    """Errors with their places. `own_roles` is the repository's directory: roles inside it are its own code."""
    allowed = source.spec.allow
    found: list[Diagnostic] = []
    for origin in (*(item.origin for item in loaded.sources), *(item.origin for item in loaded.servers)):
        if "controlPlane" not in allowed:
            problem = "a repository cannot tell a server how to run"
            found.append(finding("NotAllowed", origin, "kind", problem, "Write it into the server's --config."))
    if "clusters" not in allowed:
        own = own_roles.resolve()
        found += (
            _denial(item.origin.location, source, "clusters", f"Cluster/{item.name} is declared by the repository")
            for item in loaded.declared.clusters
            if Path(item.origin.location.file).resolve().is_relative_to(own)
        )
    for guest in loaded.declared.guests:
        for permission, path, what in _uses(guest, own_roles):
            if permission not in allowed:
                found.append(_denial(guest.origin.at(path), source, permission, f"{guest.ref}: {path}: {what}"))
    return tuple(found)


def _denial(place: Location, source: Source, permission: Permission, what: str) -> Diagnostic:
    advice = f"Whoever runs the server can allow it: allow: [{permission}] in Source/{source.name}."
    return Diagnostic("error", "NotAllowed", f"{what}, which this source may not", advice, place)


def _uses(guest: Guest, own_roles: Path) -> Iterator[tuple[Permission, str, str]]:
    """Everything in a guest's manifest that needs a permission, with its field."""
    if guest.adopt:
        yield "adopt", f"metadata.annotations.{ADOPT}", "a guest is taken over that somebody else made"
    for image in guest.images:
        if image.provided:
            yield "images", "spec", f"{REFERENCE}{image.name} is downloaded by a node, or built"
    if isinstance(guest.spec, ContainerSpec):
        yield from _container(guest.spec)
    else:
        for index, disk in enumerate(guest.spec.disks or ()):
            if disk.import_from is not None and disk.import_from.startswith("/"):
                yield "devices", f"spec.disks.{index}.importFrom", "a file of the node is read"
    for name, value in guest.spec.options.items():
        yield from _option(name, str(value))
    if guest.spec.configure is not None:
        yield from _inside(guest, guest.spec.configure, own_roles)


def _container(spec: ContainerSpec) -> Iterator[tuple[Permission, str, str]]:
    if spec.template is not None and spec.template.startswith("/"):
        yield "devices", "spec.template", "a file of the node is read"
    if spec.unprivileged is False:
        yield "privileged", "spec.unprivileged", "the container is privileged"
    for index, mount in enumerate(spec.mounts or ()):
        if mount.source is not None:
            yield "bindMounts", f"spec.mounts.{index}.source", f"{mount.source} of the node is mounted"
    if spec.features is not None and (spec.features.mknod or spec.features.force_rw_sys or spec.features.mount):
        yield "privileged", "spec.features", "it reaches beyond the container (mknod, mount, forceRwSys)"


def _inside(guest: Guest, configure: Configure, own_roles: Path) -> Iterator[tuple[Permission, str, str]]:
    for index, directory in enumerate(guest.roles):
        if Path(directory).resolve().is_relative_to(own_roles.resolve()):
            yield "roles", f"spec.configure.roles.{index}.role", "the role is the repository's own code"
        elif Path(directory).name == CONTROL_PLANE:
            yield "controlPlane", f"spec.configure.roles.{index}.role", "the role hands this server's keys on"
        elif (variable := reaching(configure.roles[index])) is not None:
            path = f"spec.configure.roles.{index}.vars.{variable}"
            yield "roles", path, "it tells Ansible itself, on the server, what to do"
    for name in configure.secrets:
        yield "secrets", f"spec.configure.secrets.{name}", "a secret store of the server is read"
    if _reads_environment(configure.model_dump(mode="python", by_alias=True)):
        yield "secrets", "spec.configure", "a secret of the server's environment is read"


def reaching(call: Role) -> str | None:
    """The first variable of a bundled role that reaches the machine that runs Ansible, not only the guest.

    Variables of a role begin with a role's name; what does not (`ansible_connection: local`) is Ansible's own. A few
    that do name files beside Ansible.
    """
    roles = tuple(f"{name}_" for name in role_names(()))
    own = (name for name in call.vars if not name.startswith(roles) or name.startswith(_COOKBOOK) or name in _BUNDLES)
    return next(own, None)


def _option(name: str, value: str) -> Iterator[tuple[Permission, str, str]]:
    base, path = name.rstrip("0123456789"), f"spec.options.{name}"
    if name == "hookscript":
        yield "hookscripts", path, "a script runs on the node"
    elif name == "args":
        yield "args", path, "arguments reach QEMU itself"
    elif base in _RAW:
        yield "raw", path, "a raw line reaches LXC itself"
    elif base in _DEVICES and value not in _HARMLESS_DEVICES:
        yield "devices", path, "a device of the node is passed"
    elif name == "unprivileged" and value in ("0", "False"):
        yield "privileged", path, "the container is privileged"
    elif base == "virtiofs" or (base == "mp" and _file_of_node(value, "volume")):
        yield "bindMounts", path, "a directory of the node is mounted"
    elif name in ("features", "entrypoint", "env") and any(word in value for word in ("mknod", "mount=", "force_rw")):
        yield "privileged", path, "it reaches beyond the container"
    elif base in _DRIVES and _file_of_node(value, "file", "import-from"):
        yield "devices", path, "a disk or file of the node is passed"


def _file_of_node(value: str, *keys: str) -> bool:
    """Whether a property string names a path of the node: as its first word, or under one of these keys."""
    for index, part in enumerate(value.split(",")):
        key, equals, text = part.strip().partition("=")
        if (not equals and index == 0 and key.startswith("/")) or (key in keys and text.strip().startswith("/")):
            return True
    return False


def _reads_environment(value: object) -> bool:
    if isinstance(value, dict):
        ref = value.get("secretRef")
        if isinstance(ref, dict) and ref.get("name") == "env":
            return True
        return any(map(_reads_environment, value.values()))
    return isinstance(value, list | tuple) and any(map(_reads_environment, value))
