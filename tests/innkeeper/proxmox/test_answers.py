"""Every sentence of Proxmox that was recorded from the real code, and what it means for the next step."""

import json

import pytest

from innkeeper.engine.errors import Conflict, EngineError, NotLetIn, Stalled, Uncertain, Unexplained, Waiting
from innkeeper.proxmox.answers import problem, refusal

TEXTS: list[tuple[str, type[EngineError]]] = [
    ("can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout", Waiting),
    ("can't lock file '/var/lock/qemu-server/lock-200.conf' - got timeout", Waiting),
    ("cfs-lock 'storage-nas' error: got lock request timeout", Waiting),
    ("create pool failed: cfs-lock 'file-user_cfg' error: no quorum!", Waiting),
    ("cluster not ready - no quorum?", Waiting),
    ("unable to open file '/etc/pve/nodes/pve1/lxc/102.conf.tmp.244' - Permission denied", Waiting),
    ("CT is locked (backup)", Waiting),
    ("VM is locked (snapshot)", Waiting),
    ("detected modified configuration - file changed by other user? Try again.", Conflict),
    ("checksum mismatch (file change by other user?)", Conflict),
    ("CT 101 already exists on node 'pve'", Conflict),
    ("unable to create VM 200 - VM 200 already exists on node 'pve'", Conflict),
    ("unable to create VM 101 - CT 101 already exists on node 'pve'", Conflict),
    (
        "unable to create CT 150 - close (rename) atomic file '/etc/pve/nodes/pve1/lxc/150.conf' failed: File exists",
        Conflict,
    ),
    ("Configuration file 'nodes/pve/lxc/101.conf' does not exist", Conflict),
    ("Configuration file 'nodes/pve/qemu-server/201.conf' does not exist", Conflict),
    ("CT 101 already running", Conflict),
    ("CT 101 not running", Conflict),
    ("VM 200 is not running", Conflict),
    ("unable to destroy CT 100 - container is running", Conflict),
    ("VM 200 is running - destroy failed", Conflict),
    ("unexpected status", Uncertain),
    ("can't remove CT 101 - protection mode enabled", Stalled),
    ("storage 'nostore' does not exist", Unexplained),
    ("unable to shrink disk size", Stalled),
    ("unable to create CT 101 - volume 'local:vztmpl/nosuch.tar.zst' does not exist", Unexplained),
    ("unable to modify read-only option: 'unprivileged'", Unexplained),
    ("only root can set 'args' config", Stalled),
    ("no options specified", Unexplained),
    ("hostname lookup 'pve9' failed - failed to get address info for: pve9: Name or service not known", Stalled),
    ("Full clone of a running container is only possible from a snapshot", Unexplained),
]


@pytest.mark.parametrize(("text", "kind"), TEXTS, ids=[text[:50] for text, _ in TEXTS])
def test_a_sentence_means_the_same_from_a_call_and_from_a_task(text: str, kind: type[EngineError]) -> None:
    assert type(problem(text)) is kind
    body = json.dumps({"data": None, "message": text + "\n"}).encode()
    error = refusal("PUT /nodes/pve/lxc/101/config", 500, text, body, writing=True, user="root@pam!full")
    assert type(error) is kind
    assert error.message == f"PUT /nodes/pve/lxc/101/config: {text}"


@pytest.mark.parametrize(
    ("status", "reason", "writing", "kind"),
    [
        (595, "No route to host", True, Waiting),
        (595, "No route to host", False, Waiting),
        (596, "Connection timed out", True, Uncertain),
        (596, "Connection timed out", False, Waiting),
        (599, "Too many redirections", True, Uncertain),
        (504, "Gateway Timeout", True, Uncertain),
        (500, "VM 100 qmp command 'device_add' failed - got timeout", True, Uncertain),
        (401, "Authentication failed!", True, NotLetIn),
        (501, "Method 'POST /nosuch' not implemented", True, Stalled),
        (302, "Found", False, Stalled),
    ],
)
def test_a_status_alone(status: int, reason: str, writing: bool, kind: type[EngineError]) -> None:
    error = refusal("POST /x", status, reason, b"", writing=writing, user="ops@pve")
    assert type(error) is kind
    assert error.advice or kind in (Waiting, Uncertain)


def test_refused_values_are_named_by_field() -> None:
    body = json.dumps(
        {
            "errors": {"memory": "value must have a minimum value of 16", "net0": "invalid format - format error\nx\n"},
            "message": "Parameter verification failed.\n",
            "data": None,
        }
    ).encode()
    error = refusal("POST /nodes/pve/lxc", 400, "Parameter verification failed.", body, writing=True, user="a@pve")
    assert isinstance(error, Stalled)
    assert "memory: value must have a minimum value of 16; net0: invalid format - format error x" in error.message


@pytest.mark.parametrize(
    ("message", "path", "privilege"),
    [
        ("Permission check failed (/vms/101, VM.Allocate)", "/vms/101", "VM.Allocate"),
        ("Permission check failed (/storage/nas, Datastore.AllocateSpace)", "/storage/nas", "Datastore.AllocateSpace"),
        ("Permission check failed (/storage/nas, Datastore.Audit|Datastore.AllocateSpace)", "/storage/nas", "or"),
        ("Permission check failed (/, Sys.Modify for modifying tag 'x')", "", ""),
    ],
)
def test_a_missing_right_comes_with_the_line_that_grants_it(message: str, path: str, privilege: str) -> None:
    error = refusal("PUT /x", 403, message, b"", writing=True, user="ops@pve!ci")
    assert isinstance(error, Stalled)
    if path:
        assert f"ops@pve!ci lacks {privilege}" in error.message or privilege == "or"
        assert f"pveum acl modify {path} --tokens 'ops@pve!ci' --users ops@pve" in error.advice
    else:
        assert "Sys.Modify" in str(error)


def test_what_only_root_may_says_so() -> None:
    text = "Permission check failed (mount point type bind is only allowed for root@pam)"
    error = refusal("PUT /x", 403, text, b"", writing=True, user="root@pam!full")
    assert "sign in with username and password" in error.advice
