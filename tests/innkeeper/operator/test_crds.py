"""The custom resource definitions, as a real API server takes and enforces them."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from innkeeper.operator.crds import KINDS, definition
from tests.innkeeper.operator.controlplane import ControlPlane

MACHINE: dict[str, Any] = {
    "apiVersion": "vitistack.io/v1alpha1",
    "kind": "Machine",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"memory": 1 << 30, "disks": [{"size": "20G"}], "networks": [{"bridge": "vmbr0"}], "cpu": {}},
}
CLUSTER: dict[str, Any] = {
    "apiVersion": "vitistack.io/v1alpha1",
    "kind": "ProxmoxCluster",
    "metadata": {"name": "lab", "namespace": "default"},
    "spec": {
        "endpoint": "https://pve1.example.org:8006",
        "credentials": {
            "tokenID": {"secretRef": {"name": "pve", "key": "token-id"}},
            "tokenSecret": {"secretRef": {"name": "pve", "key": "token-secret"}},
        },
    },
}


def with_(body: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy with one field of its spec set; numbers are places in lists."""
    found = copy.deepcopy(body)
    here: Any = found["spec"]
    *way, last = [int(word) if word.isdigit() else word for word in path.split(".")]
    for word in way:
        here = here[word]
    here[last] = value
    return found


@pytest.mark.parametrize(
    ("path", "good", "bad"),
    [
        ("vmid", [100, 999_999_999], [99, 1_000_000_000, "100"]),
        ("cpu.cores", [1, 128], [0, 129]),
        ("cpu.sockets", [1, 4], [0, 5]),
        ("cpu.threadsPerCore", [1, 2], [0, 3]),
        ("memory", [67_108_864, 1 << 40], [67_108_863, "1Gi"]),
        ("disks.0.size", ["20G", "1T"], ["20", "G", "20GB", "0G", 20]),
        ("disks.0.type", ["ide", "sata", "scsi", "virtio"], ["nvme"]),
        ("disks.0.cache", ["none", "writethrough", "writeback"], ["unsafe"]),
        ("disks.0.format", ["raw", "qcow2", "vmdk"], ["vdi"]),
        ("networks.0.model", ["e1000", "virtio", "rtl8139"], ["vmxnet3"]),
        ("networks.0.vlan", [1, 4094], [0, 4095]),
        ("networks.0.macAddress", ["BC:24:11:00:00:2A"], ["BC:24:11"]),
        ("networks.0.firewall", [True, False], ["yes"]),
        ("osType", ["linux", "windows", "solaris", "other"], ["beos"]),
        ("bootOrder", [["disk", "network", "cdrom"]], [["floppy"], "disk"]),
        ("agent", [True], ["true"]),
        ("balloon", [False], [512]),
        ("protection", [True], [1]),
    ],
)
def test_the_limits_of_a_machine(definitions: ControlPlane, path: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert not definitions.refused(with_(MACHINE, path, value)), value
    for value in bad:
        assert path.rpartition(".")[2] in definitions.refused(with_(MACHINE, path, value)), value


def test_what_a_machine_leaves_out(definitions: ControlPlane) -> None:
    body = MACHINE | {"metadata": {"name": "defaults", "namespace": "default"}, "spec": {"disks": [{"size": "1T"}]}}
    definitions.apply(body)
    spec = definitions.get("machine", "defaults")["spec"]
    assert spec["cpu"] == {"cores": 1, "sockets": 1, "threadsPerCore": 1}
    assert (spec["memory"], spec["osType"], spec["disks"][0]["type"]) == (512 << 20, "linux", "scsi")
    definitions.kubectl("delete", "machine", "defaults")


def test_a_cluster_wants_one_way_in(definitions: ControlPlane) -> None:
    assert not definitions.refused(CLUSTER)
    secret = {"secretRef": {"name": "pve", "key": "password"}}
    assert "tokenSecret" in definitions.refused(with_(CLUSTER, "credentials.password", secret))
    assert "endpoint" in definitions.refused(with_(CLUSTER, "endpoint", "http://pve1.example.org"))
    definitions.apply(CLUSTER)
    assert definitions.get("pxc", "lab")["spec"]["insecureSkipTLSVerify"] is False
    definitions.kubectl("delete", "pxc", "lab")


def test_a_status_never_has_an_empty_reason(definitions: ControlPlane) -> None:
    body = MACHINE | {"metadata": {"name": "reasons", "namespace": "default"}}
    definitions.apply(body)
    said = definitions.kubectl(
        "patch",
        "machine/reasons",
        "--subresource=status",
        "--type=merge",
        "-p",
        '{"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "", "message": "",'
        ' "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}',
        ok=False,
    )
    assert "reason" in said and "invalid" in said
    definitions.kubectl("delete", "machine", "reasons")


def test_native_kinds_take_native_manifests(definitions: ControlPlane) -> None:
    native = {
        "apiVersion": "innkeeper.dev/v1alpha1",
        "kind": "Container",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"memory": "512Mi", "swap": 0, "rootDisk": {"size": "8Gi"}, "network": [{"ip": "dhcp"}]},
    }
    assert not definitions.refused(native)
    assert "memory" in definitions.refused(with_(native, "memory", 512))
    assert "swap" in definitions.refused(with_(native, "swap", 5))
    definitions.apply(native)
    assert "restart" not in definitions.get("ct", "web")["spec"], "what a manifest does not name stays unnamed"
    definitions.kubectl("delete", "ct", "web")


def limits(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """A value just beyond each limit of a schema, with its place: `[]` is an item of a list, `{}` a value of a map."""
    yield from ((path, value) for value in _beyond(schema))
    for name, field in (schema.get("properties") or {}).items():
        yield from limits(field, (*path, name))
    for word, inner in (("[]", schema.get("items")), ("{}", schema.get("additionalProperties"))):
        if isinstance(inner, dict):
            yield from limits(inner, (*path, word))


def _beyond(schema: dict[str, Any]) -> Iterator[object]:
    number = schema.get("type") in ("integer", "number") or schema.get("x-kubernetes-int-or-string")
    if "enum" in schema or ("pattern" in schema and not number):
        yield "no such = word, "
    if "minimum" in schema:
        yield schema["minimum"] - (0 if schema.get("exclusiveMinimum") else 1)
    if "maximum" in schema:
        yield schema["maximum"] + (0 if schema.get("exclusiveMaximum") else 1)
    if schema.get("minLength"):
        yield ""
    if "maxLength" in schema:
        yield "x" * (schema["maxLength"] + 1)
    if schema.get("minItems"):
        yield []
    if schema.get("minProperties"):
        yield {}
    wrong = {"integer": "three", "number": "three", "boolean": "yes", "string": 3, "array": "many", "object": "many"}
    if schema.get("type") in wrong:
        yield wrong[schema["type"]]


def placed(path: tuple[str, ...], value: object) -> object:
    """The value, with as much around it as its place needs."""
    if not path:
        return value
    inner = placed(path[1:], value)
    return [inner] if path[0] == "[]" else {"word": inner} if path[0] == "{}" else {path[0]: inner}


def named(path: tuple[str, ...]) -> str:
    """As the API server says it."""
    said = "spec"
    for word in path:
        said += {"[]": "[0]", "{}": ".word"}.get(word, f".{word}")
    return said


@pytest.mark.parametrize("kind", KINDS, ids=[kind.kind for kind in KINDS])
def test_every_limit_of_every_field_is_enforced(definitions: ControlPlane, kind: Any) -> None:
    """Each field once with a value that is just beyond what its definition allows: all of them are refused, by name."""
    schema = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    wrong = [(path, value) for path, value in limits(schema) if path]
    assert len(wrong) > 4
    bodies = [
        {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {"name": f"x{number}", "namespace": "default"},
            "spec": placed(path, value),
        }
        for number, (path, value) in enumerate(wrong)
    ]
    said = definitions.refusals(bodies)
    for (path, value), complaint in zip(wrong, said, strict=True):
        assert named(path) in complaint, (named(path), value, complaint)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("health", [{"tcp": 80, "systemd": "nginx"}], "must validate one and only one schema"),
        ("health", [{"name": "nothing"}], "must validate one and only one schema"),
        ("mounts", [{"path": "/data"}], "needs a size"),
        ("mounts", [{"path": "/data", "source": "/srv", "size": "1Gi"}], "neither size nor storage"),
        ("configure", {"secrets": {"mine": {"env": "MY_"}}}, "Secrets of its namespace"),
        ("network", [{"ip": "10.0.0.7"}], "spec.network[0].ip"),
        ("network", [{"ip": "10.0.0.300/24"}], "spec.network[0].ip"),
        ("network", [{"ip": "10.0.0.7/24", "gateway": "10.0.0"}], "spec.network[0].gateway"),
        ("network", [{"ip6": "fd00::1/200"}], "spec.network[0].ip6"),
        ("network", [{"mac": "BD:24:11:00:00:2A"}], "spec.network[0].mac"),
    ],
)
def test_what_fields_must_be_to_each_other(definitions: ControlPlane, field: str, value: object, said: str) -> None:
    body: dict[str, Any] = {"apiVersion": "innkeeper.dev/v1alpha1", "kind": "Container"}
    body |= {"metadata": {"name": "x", "namespace": "default"}, "spec": {field: value}}
    environment = body | {"kind": "Application", "spec": {"environments": {"dev": {field: value}}}}
    assert said in definitions.refused(body)
    assert said.replace("spec.", "spec.environments.dev.") in definitions.refused(environment)
