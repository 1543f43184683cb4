"""The doctor names what lacks with the line that mends it, what is too much, and what is wrong around it."""

from collections.abc import Callable

import pytest

from innkeeper.model.diagnostics import Location
from innkeeper.model.guests import ContainerSpec, VirtualMachineSpec
from innkeeper.model.objects import Guest, Origin, Ref
from innkeeper.model.observed import ClusterView
from innkeeper.model.plan import Operation
from innkeeper.proxmox import doctor
from innkeeper.proxmox.doctor import Finding, examine
from innkeeper.proxmox.tls import fingerprint, parse_endpoint, presented
from innkeeper.settings.grants import allowed, grant
from innkeeper.settings.privileges import Need, excess, missing, needs
from tests.innkeeper.proxmox.conftest import SEED, TEMPLATE, Lab
from tests.innkeeper.proxmox.test_cluster import NET, create, grant_over_api, said

OPS = {"tokenID": "ops@pve!ci", "tokenSecret": {"env": "PVE_OPS"}}


def container(text: str) -> Guest:
    spec = ContainerSpec.model_validate_json(text)
    return Guest(Ref("Container", "web"), spec, Origin(Location("web.yaml", 1, 1)))


WEB = container(
    f'{{"vmid": 101, "template": "{TEMPLATE}", "memory": "512Mi", "cpu": {{"cores": 1}}, "running": true,'
    ' "rootDisk": {"storage": "nas", "size": "4Gi"}, "network": [{"bridge": "vmbr0", "ip": "dhcp", "vlan": 20}]}'
)


def texts(findings: tuple[Finding, ...], *status: str) -> list[str]:
    return [f"{item.topic}: {item.text}" for item in findings if item.status in status]


async def test_a_healthy_cluster(lab: Lab) -> None:
    findings = await examine(lab.proxmox(), lab.cluster(), [WEB])
    assert not texts(findings, "error")
    good = texts(findings, "ok")
    assert [text.partition(":")[0] for text in good] == [
        "connection", "tls", "clock", "version", "cluster", "privileges",
    ]  # fmt: skip
    assert any("certificate holds until" in text for text in good)
    (beyond,) = texts(findings, "warning")
    assert "root@pam!full has more than these manifests need on /: " in beyond
    assert "Sys.PowerMgmt" in beyond
    assert "VM.Allocate" not in beyond


async def test_following_the_doctor_is_enough_to_apply(lab: Lab) -> None:
    full, ops = lab.proxmox(), lab.proxmox(credentials=OPS)
    findings = await examine(ops, lab.cluster(credentials=OPS), [WEB])
    lines = [item.advice for item in findings if (item.topic, item.status) == ("privileges", "error")]
    assert lines
    for line in lines:
        await grant_over_api(full, line)
    again = await examine(ops, lab.cluster(credentials=OPS), [WEB])
    assert not texts(again, "error")
    await ops.call(create(101, storage="nas", cores="1", memory="512", net0=f"{NET},tag=20"), "", said.append)
    assert (made := await ops.guest(101)) is not None
    assert made.config is not None


async def test_what_no_token_may_is_said(lab: Lab) -> None:
    guest = container('{"vmid": 101, "features": {"keyctl": true, "nesting": true}}')
    findings = await examine(lab.proxmox(), lab.cluster(), [guest])
    assert texts(findings, "error") == [
        "privileges: root@pam!full may not: Container/web: features.keyctl; "
        "only root@pam signed in with its password may"
    ]


async def test_a_cluster_that_is_not_there(lab: Lab) -> None:
    cluster = lab.cluster(endpoints=["https://127.0.0.1:1"])
    (finding,) = await examine(lab.proxmox(endpoints=["https://127.0.0.1:1"]), cluster, [])
    assert (finding.topic, finding.status) == ("connection", "error")


async def test_an_endpoint_of_several_that_is_down(lab: Lab) -> None:
    endpoints = ["https://127.0.0.1:1", *lab.urls.values()]
    findings = await examine(lab.proxmox(endpoints=endpoints), lab.cluster(endpoints=endpoints), [])
    assert any(text.startswith("connection: https://127.0.0.1:1") for text in texts(findings, "warning"))


async def test_insecure_proposes_the_fingerprint(lab: Lab) -> None:
    findings = await examine(lab.proxmox(tls={"insecure": True}), lab.cluster(tls={"insecure": True}), [])
    found = fingerprint(await presented(parse_endpoint(next(iter(lab.urls.values())))))
    assert [item.advice for item in findings if item.topic == "tls"] == [f"write tls: {{fingerprint: {found}}}"]


async def test_a_dead_node_and_an_old_version(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab(SEED.replace("9.1.9", "8.4.1"))
    lab.faults("down: [pve3]")
    findings = await examine(lab.proxmox(), lab.cluster(), [])
    assert "version: Proxmox VE 8.4.1" in texts(findings, "ok")
    assert "cluster: Node pve3 is offline; its guests cannot be read." in texts(findings, "warning")
    for proxmox in lab.opened:
        await proxmox.close()


@pytest.mark.parametrize(
    ("release", "status"), [("8.3.5", "error"), ("8.4.0", "ok"), ("9.2.1", "ok"), ("10.0", "warning")]
)
def test_versions(release: str, status: str) -> None:
    major, minor = (int(part) for part in release.split(".")[:2])
    view = ClusterView("lab", (major, minor), {}, {}, facts={"release": release})
    assert doctor.version(view).status == status


@pytest.mark.parametrize(("now", "status"), [(0.0, "ok"), (29.0, "ok"), (-31.0, "warning"), (31.0, "warning")])
def test_clocks(now: float, status: str) -> None:
    assert doctor.clock("Thu, 01 Jan 1970 00:00:00 GMT", now).status == status


def test_a_right_on_the_pool_will_do() -> None:
    need = [Need(("/pool/apps", "/vms/101"), "VM.Allocate", "x")]
    assert missing(need, {"/pool/apps": frozenset({"VM.Allocate"})}, "a@pve") == ()
    assert missing(need, {"/vms": frozenset({"VM.Allocate"})}, "a@pve") == ()
    (lack,) = missing(need, {"/": frozenset({"Sys.Audit"})}, "a@pve")
    assert (lack.path, lack.privileges) == ("/pool/apps", ("VM.Allocate",))


def test_rights_of_the_nearest_path_count() -> None:
    permissions = {"/": frozenset({"A"}), "/vms": frozenset({"B"})}
    assert (allowed(permissions, "/vms/1"), allowed(permissions, "/sdn/zones/x")) == (frozenset("B"), frozenset("A"))


def test_a_line_for_a_token_is_one_for_its_user_too() -> None:
    """Privilege separation: a token never has more than its user. root@pam needs no grant."""
    assert "--tokens 'ops@pve!ci' --users ops@pve" in grant("/vms", ["VM.Audit"], "ops@pve!ci")
    assert "--users" not in grant("/vms", ["VM.Audit"], "root@pam!x")
    assert "--tokens" not in grant("/vms", ["VM.Audit"], "ops@pve")


def test_needs_follow_what_the_manifest_names() -> None:
    lab = Lab({"pve": "https://127.0.0.1:1"}, "", None, None, None)  # type: ignore[arg-type]
    found = {(need.paths[0], need.privilege) for need in needs(lab.cluster(), [WEB], (9, 1))}
    assert found >= {
        ("/vms", "VM.Audit"), ("/", "Sys.Audit"), ("/vms/101", "VM.Allocate"), ("/vms/101", "VM.Config.Memory"),
        ("/vms/101", "VM.Config.CPU"), ("/vms/101", "VM.Config.Disk"), ("/vms/101", "VM.Config.Network"),
        ("/vms/101", "VM.Config.Options"), ("/vms/101", "VM.PowerMgmt"), ("/storage/nas", "Datastore.AllocateSpace"),
        ("/storage/local", "Datastore.Audit"), ("/sdn/zones/localnetwork/vmbr0/20", "SDN.Use"),
    }  # fmt: skip
    bare = {need.privilege for need in needs(lab.cluster(), [container("{}")], (9, 1))}
    assert not bare & {"VM.Config.Memory", "VM.Config.CPU", "VM.PowerMgmt", "SDN.Use"}
    assert excess([Need(("/vms",), "VM.Audit", "")], {"/": frozenset({"VM.Audit", "X"}), "/vms": frozenset("X")}) == {
        "/": ("X",)
    }


async def test_a_clone_needs_the_storages_of_its_template(lab: Lab) -> None:
    full, ops = lab.proxmox(), lab.proxmox(credentials=OPS)
    machine = {"vmid": "900", "name": "golden", "scsi0": "nas:1", "ide2": "none,media=cdrom"}
    await full.call(Operation("create", "POST", "/nodes/pve1/qemu", tuple(machine.items())), "", said.append)
    await full.call(Operation("template", "POST", "/nodes/pve1/qemu/900/template"), "", said.append)
    spec = VirtualMachineSpec.model_validate_json('{"vmid": 200, "clone": {"template": "golden"}}')
    copy = Guest(Ref("VirtualMachine", "copy"), spec, Origin(Location("copy.yaml", 1, 1)))
    await grant_over_api(full, grant("/vms", ["VM.Audit"], "ops@pve!ci"))
    (lacks,) = (text for text in texts(await examine(ops, lab.cluster(), [copy]), "error") if "/storage" in text)
    assert "Datastore.AllocateSpace, Datastore.Audit on /storage/nas" in lacks
