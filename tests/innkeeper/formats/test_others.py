"""Inventories, proxnix and vitistack, line by line; and which format a directory is in."""

from pathlib import Path
from typing import Any

import pytest

from innkeeper.manifests.loading import Loaded, load
from innkeeper.model.guests import ContainerSpec, VirtualMachineSpec
from tests.innkeeper.formats.trees import CLUSTER, errors, loaded, only, written

PROJECTS = """\
app_projects:
  shop:
    repo: git@git.example.org:team/shop.git
    deploy_key: "{{ vault_key }}"
    envs:
      prod:
        name: shop-prod
        vmid: 203
        ip: 10.0.10.103/24
        gateway: 10.0.10.1
        branch: main
        env_vars: {A: "1", B: "{{ vault_b }}", C: "{{ shared }}", D: "{{ lookup('env', 'HOME') }}"}
shared: word
"""


def inventory(tmp_path: Path, more: str = "", **files: str) -> Loaded:
    return loaded(tmp_path, {"group_vars/all.yml": more + PROJECTS, **files})


def variables(found: Loaded, role: str) -> dict[str, Any]:
    configure = only(found).spec.configure
    assert configure is not None
    return dict(next(call.vars for call in configure.roles if call.role == role))


def test_a_project_is_an_application(tmp_path: Path) -> None:
    found = inventory(tmp_path, "proxmox_node: pve7\nlxc_memory_mb: '512'\nlxc_bridge: vmbr3\n")
    guest = only(found)
    spec = guest.spec
    assert isinstance(spec, ContainerSpec)
    assert (guest.ref.name, spec.vmid, spec.node, spec.memory) == ("shop-prod", 203, "pve7", 512 << 20)
    assert spec.network
    nic = spec.network[0]
    assert (nic.name, nic.bridge, nic.firewall, nic.ip, nic.gateway) == (
        "eth0",
        "vmbr3",
        True,
        "10.0.10.103/24",
        "10.0.10.1",
    )
    assert dict(guest.labels) == {"innkeeper.dev/project": "shop", "innkeeper.dev/environment": "prod"}
    assert spec.configure
    assert [call.role for call in spec.configure.roles] == ["base", "base_os", "app_setup"]


def test_ports_and_secrets(tmp_path: Path) -> None:
    found = inventory(tmp_path, "app_backend_port: 4001\n")
    told = variables(found, "app_setup")
    assert (told["app_setup_backend_port"], told["app_setup_frontend_port"]) == (4001, 3000)
    assert told["app_setup_key"] == {"secretRef": {"name": "vault", "key": "vault_key"}}
    assert told["app_setup_env"] == {
        "A": "1",
        "B": {"secretRef": {"name": "vault", "key": "vault_b"}},
        "C": "word",
        "D": {"secretRef": {"name": "env", "key": "HOME"}},
    }
    assert variables(found, "base_os")["base_os_ports"] == ("4001", "3000")
    configure = only(found).spec.configure
    assert configure is not None
    assert configure.secrets["vault"].vault == "group_vars/all/vault.yml"


def test_the_vault_is_found_and_its_password(tmp_path: Path) -> None:
    files = {"group_vars/all/v.yml": "$ANSIBLE_VAULT;1.1;AES256\n31\n", "group_vars/all/main.yml": PROJECTS}
    found = loaded(tmp_path, {**files, "ansible.cfg": "[defaults]\nvault_password_file = .pass\n"})
    configure = only(found).spec.configure
    assert configure is not None
    store = configure.secrets["vault"]
    assert (store.vault, store.vault_password_file) == ("group_vars/all/v.yml", ".pass")


def test_virtual_machines_where_the_inventory_says_so(tmp_path: Path) -> None:
    found = inventory(tmp_path, "proxmox_guest_type: kvm\nkvm_template: debian\napp_bootstrap_user: debian\n")
    spec = only(found).spec
    assert isinstance(spec, VirtualMachineSpec)
    assert spec.clone and spec.clone.template == "debian"
    assert spec.cloud_init and (spec.cloud_init.ip, spec.cloud_init.user) == ("10.0.10.103/24", "debian")
    assert spec.configure and spec.configure.user == "debian"
    assert variables(found, "app_setup")["app_setup_branch"] == "main"


def test_a_cluster_where_its_address_is_no_secret(tmp_path: Path) -> None:
    source = written(tmp_path, {"group_vars/all.yml": f"proxmox_host: pve\nproxmox_user: root@pam\n{PROJECTS}"})
    (cluster,) = load([source]).declared.clusters
    assert cluster.spec.endpoints == ("https://pve:8006",)
    assert cluster.spec.credentials.password and cluster.spec.credentials.password.env == "PROXMOX_PASSWORD"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("vmid: 203", "vmid: 42", "all.yml:8 OutOfRange: spec.environments.prod.vmid"),
        ("ip: 10.0.10.103/24", "ip: 10.0.10.103", "all.yml:9 BadValue: spec.environments.prod.ip"),
        ("branch: main", "branch: --upload-pack=x", "all.yml:11 BadValue: spec.environments.prod.branch"),
        (
            "gateway: 10.0.10.1",
            'gateway: "{{ a | b }} c"',
            "all.yml:10 Unresolved: app_projects.shop.envs.prod.gateway",
        ),
        ("    envs:", "    environments:", "all.yml:2 MissingField: app_projects.shop.envs: no environments"),
        ("name: shop-prod", "name: shop,prod", "all.yml:7 "),
    ],
)
def test_mistakes_of_an_inventory_are_named_where_they_stand(tmp_path: Path, old: str, new: str, problem: str) -> None:
    found = errors(loaded(tmp_path, {"group_vars/all.yml": PROJECTS.replace(old, new)}))
    assert len(found) == 1, found
    assert found[0].startswith(problem), found


VM = '{"vm_id": 800, "image_type": "k3s", "cores": 2, "memory_mb": 1024, "disk_gb": 20, "storage_location": "lvm"%s}'


def test_a_machine_of_proxnix(tmp_path: Path) -> None:
    guest = only(
        loaded(tmp_path, {"config.json": '{"vms": {"K3s_cp": ' + VM % ', "name": "cp", "protected": true' + "}}"})
    )
    spec = guest.spec
    assert isinstance(spec, VirtualMachineSpec)
    assert (guest.ref.name, spec.hostname) == ("k3s-cp", "cp"), "the key is its identity, the name may change"
    assert (spec.vmid, spec.protected, spec.running, spec.memory) == (800, True, True, 1 << 30)
    assert spec.disks
    disk = spec.disks[0]
    assert (disk.slot, disk.storage, disk.size, disk.import_from) == (
        "scsi0",
        "lvm",
        20 << 30,
        "local:import/k3s.qcow2",
    )
    assert spec.options == {"scsihw": "virtio-scsi-pci"}
    assert spec.network and (spec.network[0].bridge, spec.network[0].model) == ("vmbr0", "virtio")


def test_the_newer_form_with_two_slots(tmp_path: Path) -> None:
    text = '{"vms": {"a": {"blue_id": 100, "green_id": 200, "image_type": "x", "service_address": "10.0.0.9"}}}'
    found = loaded(tmp_path, {"config.json": text})
    assert only(found).spec.vmid == 100
    assert [item.code for item in found.diagnostics] == ["NotTranslated", "NotTranslated"]


def test_a_file_by_its_name(tmp_path: Path) -> None:
    home = written(tmp_path, {"machines.json": '{"vms": {"a": ' + VM % "" + "}}", "cluster.yaml": CLUSTER})
    assert only(load([home / "machines.json", home / "cluster.yaml"])).spec.vmid == 800


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (', "memory": 5', "config.json:1 UnknownField: vms.a.memory: there is no such field"),
        (', "cloud_init": {"StorageReference": "a,b=c"}', "config.json:1 BadValue: vms.a.cloud_init"),
        (', "cloud_init": "yes"', "config.json:1 BadValue: vms.a.cloud_init"),
        (', "sockets": "two"', "config.json:1 WrongType: spec.cpu.sockets"),
        (', "network_bridge": "vmbr0,tag=5"', "config.json:1 UnsafeValue: spec.network[0].bridge"),
    ],
)
def test_mistakes_of_proxnix(tmp_path: Path, more: str, problem: str) -> None:
    found = errors(loaded(tmp_path, {"config.json": '{"vms": {"a": ' + VM % more + "}}"}))
    assert len(found) == 1, found
    assert found[0].startswith(problem), found


MACHINE = """\
apiVersion: vitistack.io/v1alpha1
kind: Machine
metadata: {name: web, namespace: default, labels: {cluster.vitistack.io/cluster-name: home}}
spec:
  name: web-1
  memory: 2147483648
"""


def test_a_machine_of_vitistack(tmp_path: Path) -> None:
    more = "  template: '9000'\n  balloon: true\n  agent: true\n  bootOrder: [network, cdrom]\n  osType: windows\n"
    spec = only(loaded(tmp_path, {"m.yaml": MACHINE + more})).spec
    assert isinstance(spec, VirtualMachineSpec)
    assert (spec.hostname, spec.memory, spec.balloon, spec.agent) == ("web-1", 2 << 30, 2 << 30, True)
    assert spec.clone and spec.clone.template == 9000
    assert (spec.boot_order, spec.os_type, spec.vmid) == (("net0", "ide2"), "win11", None)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("  cpu: {cores: 129}\n", "m.yaml:7 OutOfRange: spec.cpu.cores"),
        ("  cpu: {sockets: 5}\n", "m.yaml:7 OutOfRange: spec.cpu.sockets"),
        ("  vmid: 42\n", "m.yaml:7 OutOfRange: spec.vmid"),
        ("  networks: [{vlan: 4095}]\n", "m.yaml:7 OutOfRange: spec.networks[0].vlan"),
        ("  disks: [{size: 20}]\n", "m.yaml:7 WrongType: spec.disks[0].size"),
        ("  disks: [{size: 20G, type: floppy}]\n", "m.yaml:7 UnknownValue: spec.disks[0].type"),
        ("  osType: bsd\n", "m.yaml:7 UnknownValue: spec.osType"),
        ("  machineClass: small\n", "m.yaml:7 UnknownField: spec.machineClass"),
        ("status: {}\nextra: 1\n", "m.yaml:8 UnknownField: extra"),
        ("  networks: [{bridge: 'vmbr0,tag=1'}]\n", "m.yaml:7 UnsafeValue: spec.networks[0].bridge"),
    ],
)
def test_the_published_limits_count_in_files_too(tmp_path: Path, more: str, problem: str) -> None:
    found = errors(loaded(tmp_path, {"m.yaml": MACHINE + more}))
    assert len(found) == 1, found
    assert found[0].startswith(problem), found


def test_too_little_memory_and_a_label_that_leads_nowhere(tmp_path: Path) -> None:
    (little,) = errors(loaded(tmp_path, {"m.yaml": MACHINE.replace("2147483648", "67108863")}))
    assert little.startswith("m.yaml:6 OutOfRange: spec.memory")
    (lost,) = errors(loaded(tmp_path / "b", {"m.yaml": MACHINE.replace(": home", ": away")}))
    assert lost.startswith("m.yaml:3 UnknownCluster: spec.cluster: cluster away is not declared")


def test_which_format_it_is(tmp_path: Path) -> None:
    both = {"libs/a/container.env": "IP=dhcp", "group_vars/all.yml": PROJECTS}
    found = loaded(tmp_path, both)
    assert [line.partition(": ")[2] for line in errors(found)] == ["this could be container-monorepo or app-projects"]
    assert len(loaded(tmp_path, both, "app-projects").declared.guests) == 1
    stray = {"config.env": "DATABASE_URL=x", "config.json": "{}", "flake.nix": "{ }", "libs/a/config.env": "A=1"}
    assert [line.split(" ")[1] for line in errors(loaded(tmp_path / "c", stray))] == []
    native = {"a.yaml": CLUSTER.replace("Cluster", "Container").split("spec:")[0] + "spec: {memory: 512Mi}\n"}
    assert only(loaded(tmp_path / "b", {**native, "config.env": ""}, "native")).ref.name == "home"


def test_a_variable_that_nothing_is_made_of_is_said(tmp_path: Path) -> None:
    found = inventory(tmp_path, "lxc_memory: 512\nkvm_cores: 2\nproxmox_validate_certs: false\n")
    assert [(item.code, item.summary, item.detail) for item in found.diagnostics] == [
        ("NotTranslated", "lxc_memory: nothing is made of this", "Did you mean lxc_memory_mb?")
    ]


@pytest.mark.parametrize(
    "text", ['{"vms": {"a\\nb": {}}}', '{"vms": {"a": {"x\\u001b[31m": 1}}}', '{"a\\n": 1, "a\\n": 2}']
)
def test_a_name_that_would_play_with_a_terminal(tmp_path: Path, text: str) -> None:
    (wrong,) = errors(loaded(tmp_path, {"config.json": text}, "proxnix"))
    assert wrong.isprintable()
