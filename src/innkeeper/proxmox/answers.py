"""What a refusal of Proxmox means: the one table from its status codes and texts to the engine's errors.

Proxmox says almost everything as status 500 with a sentence; the sentences are the interface. Each pattern names the
Proxmox source that writes it. Pure.
"""

import json
import re
from collections.abc import Callable
from typing import Final

from innkeeper.engine.errors import Conflict, EngineError, NotLetIn, Stalled, Uncertain, Unexplained, Waiting
from innkeeper.settings.grants import grant

DEAD_NODE: Final = 595
"""pveproxy could not connect to the node that the path names (AnyEvent::HTTP): the call was not made."""

_LOST: Final = frozenset({502, 503, 504, 596, 597, 598, 599})
"""Sent on, and no answer came: 596 is what the 30 s limit of pveproxy gives (PVE::APIServer::AnyEvent)."""

Make = Callable[[str], EngineError]


def _waiting(advice: str, after: float) -> Make:
    return lambda text: Waiting(text, advice, after)


def _conflict(advice: str) -> Make:
    return lambda text: Conflict(text, advice)


def _stalled(advice: str) -> Make:
    return lambda text: Stalled(text, advice)


_TEXTS: Final[tuple[tuple[re.Pattern[str], Make], ...]] = tuple(
    (re.compile(pattern), make)
    for pattern, make in (
        # PVE::Tools, lock_file; PVE::Cluster, cfs_lock; PVE::AbstractConfig, lock_config
        (r"can't lock file .*got timeout", _waiting("another task holds the lock; it is tried again", 2.0)),
        (r"cfs-lock .*(got lock (request )?timeout|no lock)", _waiting("the cluster's lock is busy", 2.0)),
        (r"(unable|can't|cannot) (to )?acquire .*lock", _waiting("another task holds the lock", 2.0)),
        # PVE::AbstractConfig, check_lock
        (r"\b(CT|VM) is locked( \(.+?\))?", _waiting("wait until the task that locked the guest has ended", 3.0)),
        # PVE::Cluster, check_cfs_quorum; pmxcfs is read-only then
        (r"no quorum", _waiting("most nodes of the cluster must be up", 10.0)),
        (r"'?/etc/pve/.*Permission denied", _waiting("the cluster has no quorum: most nodes must be up", 10.0)),
        (r"(No route to host|Connection refused|Connection timed out|Host is unreachable)$", _waiting("", 10.0)),
        # PVE::Tools, assert_if_modified (containers); PVE::API2::Qemu (virtual machines)
        (r"detected modified configuration|checksum mismatch", _conflict("somebody changed it meanwhile; plan again")),
        # PVE::Cluster, check_vmid_unused; PVE::AbstractConfig, create_and_lock_config
        (r"\b(CT|VM) \d+ already exists|config file .*already exists", _conflict("the vmid is taken; plan again")),
        (r"atomic file .*failed: File exists", _conflict("the vmid was taken at the same moment; plan again")),
        # PVE::AbstractConfig, load_config: gone, or on another node
        (r"Configuration file '.*' does not exist", _conflict("it is gone or has moved to another node; plan again")),
        (r"\b(CT|VM) \d+ (is )?already running|\b(CT|VM) \d+ (is )?not running", _conflict("it is so already")),
        # PVE::QemuServer, vmconfig_hotplug_pending: it is kept as pending, and so is all else of the same call
        (r"hotplug problem", _conflict("Proxmox keeps it for the next restart")),
        (r"container is running|VM \d+ is running", _conflict("somebody started it meanwhile; plan again")),
        # PVE::AbstractConfig, check_protection
        (
            r"protection mode enabled",
            _stalled("set protected: false in its manifest and apply that first; nothing protected is ever destroyed"),
        ),
        (r"hostname lookup '.*' failed", _stalled("there is no node of that name in the cluster")),
        (
            r"only (root|allowed for root)",
            _stalled("a token of root@pam is not root@pam: sign in with username and password"),
        ),
        (r"unable to shrink|shrinking disks is not supported", _stalled("a volume only ever grows")),
        # PVE::ProcFSTools / PVE::Tools, upid_read_status: the worker died without a word
        (r"^unexpected status$|received interrupt|got unexpected signal", lambda text: Uncertain(text)),
    )
)

_CREATE = re.compile(r"POST /nodes/[^/]+/(lxc|qemu)")
_PERMISSION = re.compile(r"\((?P<path>/[^,]*), (?P<privileges>[A-Za-z.|, ]+)\)")


def problem(text: str) -> EngineError:
    """The error that a sentence of Proxmox means: a task's exit status, or the message of a 500."""
    text = text.strip()
    for pattern, make in _TEXTS:
        if pattern.search(text):
            return make(text)
    return Unexplained(text)


def refusal(call: str, status: int, reason: str, body: bytes, *, writing: bool, user: str) -> EngineError:
    """The error of an answer that is not 200. `call` is the method and path; `user` for the `pveum` line."""
    message, errors = _message(reason, body)
    error: EngineError
    if status == 400 and errors:
        fields = "; ".join(f"{field}: {' '.join(text.split())}" for field, text in sorted(errors.items()))
        if "already exists" in fields or "hotplug problem" in fields:
            error = problem(fields)
        else:
            error = Stalled(fields, "Proxmox refuses these values")
    elif status == 401:
        error = NotLetIn(
            f"{user} is not let in: {message or 'authentication failed'}",
            "check that the token or password is right, and that it is enabled and not expired",
        )
    elif status == 403:
        error = _forbidden(call, message, user)
    elif status == DEAD_NODE:
        error = Waiting(f"the node does not answer ({message})", "it is looked at again when it is back", 10.0)
    elif status in _LOST:
        text = f"no answer: {status} {message}".rstrip()
        error = Uncertain(text, "look before anything is repeated") if writing else Waiting(text, "", 2.0)
    elif status == 501:
        error = Stalled(message, "this version of Proxmox does not have this call")
    elif 300 <= status < 400:
        error = Stalled(f"the answer is a redirect ({status})", "name the address of Proxmox itself as the endpoint")
    else:
        error = problem(message or f"status {status}")
        if isinstance(error, Unexplained) and writing and re.search(r"got timeout|timed out", message):
            error = Uncertain(message, "look before anything is repeated")
    error.message = f"{call}: {error.message}"
    return error


def _message(reason: str, body: bytes) -> tuple[str, dict[str, str]]:
    """The sentence (from the body where it has one, else the reason phrase) and the errors by field."""
    errors: dict[str, str] = {}
    message = reason
    if body.startswith(b"{"):
        try:
            answer = json.loads(body)
        except ValueError:
            answer = {}
        message = str(answer.get("message") or reason)
        if isinstance(answer.get("errors"), dict):
            errors = {str(field): str(text) for field, text in answer["errors"].items()}
    return " ".join(message.split()), errors


def _forbidden(call: str, message: str, user: str) -> EngineError:
    if _CREATE.fullmatch(call) and message.strip() == "Permission check failed":
        message = "Permission check failed (/vms, VM.Allocate)"  # the one check of a create that names nothing
    if match := _PERMISSION.search(message):
        names = re.split(r"[|, ]+", match["privileges"].strip())
        missing = names[:1] if "|" in match["privileges"] else names
        either = " or ".join(names) if "|" in match["privileges"] else ", ".join(names)
        return Stalled(f"{user} lacks {either} on {match['path']}", f"grant it: {grant(match['path'], missing, user)}")
    error = problem(message)
    if isinstance(error, Unexplained):
        return Stalled(message, f"{user} lacks a right; innkeeper doctor names it")
    return error
