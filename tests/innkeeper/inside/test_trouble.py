"""Ten guests in one apply, with secrets from every kind of store; then everything that can go wrong, all at once."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.innkeeper.inside.world import Done, World, start

SECRET = "canary-5Tz"
STORES = {
    "plain": "{env: SHOP_}",
    "here": "{files: private}",
    "old": "{vault: vault.yml, vaultPasswordFile: .vault_pass}",
    "aged": "{age: secrets.age, ageIdentity: age.txt}",
    "mixed": "{sops: secrets.sops.yaml}",
}
HELLO = """\
- name: Write what is told
  ansible.builtin.copy: {dest: /srv/told, content: "{{ greeting }}", mode: "0644"}
- name: Write the secret
  ansible.builtin.copy: {dest: /srv/secret, content: "{{ secret | default('') }}", mode: "0600"}
  no_log: true
- name: Fill the disk
  ansible.builtin.command: {cmd: "dd if=/dev/zero of=/srv/small/file bs=64k count={{ fill }}", creates: /srv/told.not}
  when: fill is defined
- name: Be sure of the greeting
  ansible.builtin.assert: {that: "'fail' not in greeting", fail_msg: "{{ greeting }} is no greeting", quiet: true}
- name: Write the last line
  ansible.builtin.copy: {dest: /srv/last, content: "{{ greeting }}", mode: "0644"}
"""
KEY, HOST, SILENT, FAILING, FULL, MISSING, BRANCH = range(401, 408)
TEN = range(401, 411)


@pytest.fixture(scope="module")
def world(template: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = start(tmp_path_factory.mktemp("trouble"), 62)
    made.role("hello", HELLO)
    yield made
    made.close()


@pytest.fixture(scope="module")
def tools(world: World) -> dict[str, str]:
    """The stores' files, and the environment in which they can be read. The stores whose tools are there."""
    place = world.manifests
    (place / "private").mkdir()
    (place / "private/key").write_text(f"{SECRET}-here\n")
    (place / ".vault_pass").write_text("correct horse\n")
    (place / "vault.yml").write_text(f"key: {SECRET}-old\n")
    vault = [str(Path(sys.executable).parent / "ansible-vault"), "encrypt", "--vault-password-file"]
    subprocess.run([*vault, ".vault_pass", "vault.yml"], cwd=place, check=True, capture_output=True)
    environment = {"SHOP_KEY": f"{SECRET}-plain", "SOPS_AGE_KEY_FILE": str(place / "age.txt")}
    pyrage = pytest.importorskip("pyrage")
    identity = pyrage.x25519.Identity.generate()
    (place / "age.txt").write_text(f"{identity}\n")
    (place / "secrets.age").write_bytes(pyrage.encrypt(f"key: {SECRET}-aged\n".encode(), [identity.to_public()]))
    path = f"{os.environ['PATH']}:{Path.home() / '.cache/innkeeper-tools'}"
    if (sops := shutil.which("sops", path=path)) is None:
        del STORES["mixed"]
        return environment
    (place / "secrets.sops.yaml").write_text(f"key: {SECRET}-mixed\n")
    encrypt = [sops, "--encrypt", "--age", str(identity.to_public()), "--in-place", "secrets.sops.yaml"]
    subprocess.run(encrypt, cwd=place, check=True, capture_output=True)
    return {**environment, "PATH": path}


def declare(world: World, vmid: int, greeting: str, store: str = "", key: str = "key", **variables: object) -> None:
    told = {"greeting": greeting, **variables}
    if store:
        told["secret"] = f"{{secretRef: {{name: {store}, key: {key}}}}}"
    written = ", ".join(f"{name}: {value}" for name, value in told.items())
    stores = f"secrets: {{{', '.join(f'{name}: {how}' for name, how in STORES.items())}}}, "
    lines = (f"configure: {{{stores}roles: [{{role: hello, vars: {{{written}}}}}]}}", "health: [{tcp: 22}]")
    world.container(f"g{vmid}", vmid, *lines)


def store_of(vmid: int) -> str:
    return [*STORES, ""][vmid % (len(STORES) + 1)]


def test_all_missing_secrets_are_listed_at_once_without_values(world: World, tools: dict[str, str]) -> None:
    for vmid in TEN:
        declare(world, vmid, "hello", store=store_of(vmid))
    moved = {"private/key": "private/kept", "age.txt": "kept.txt"}
    for name, kept in moved.items():
        (world.manifests / name).rename(world.manifests / kept)
    try:
        plan = world.innkeeper("plan", "--source", "inside")
        form = world.innkeeper("secrets", "example")
    finally:
        for name, kept in moved.items():
            (world.manifests / kept).rename(world.manifests / name)
    assert plan.status == 1
    for words in ("SHOP_KEY", *moved):
        assert words in plan.err, plan.err
    assert SECRET not in plan.all
    assert form.status == 0
    assert [name for name in STORES if name not in form.out] == []
    assert [vmid for vmid in TEN if (f"Container/g{vmid}" in form.out) != bool(store_of(vmid))] == []


@pytest.fixture(scope="module")
def ten(world: World, tools: dict[str, str]) -> Done:
    """Ten guests, made in one apply."""
    for vmid in TEN:
        declare(world, vmid, "hello", store=store_of(vmid))
    return world.apply("--wait", "60", watch=True, env=tools)


def test_ten_guests_in_one_apply(world: World, tools: dict[str, str], ten: Done) -> None:
    assert "Applied: 10 created." in ten.out
    assert SECRET not in ten.all
    assert [line for line in world.processes if f"{SECRET}-old" in line or f"{SECRET}-aged" in line] == []
    for vmid in TEN:
        store = store_of(vmid)
        assert world.pct(vmid, "cat /srv/last /srv/secret") == (f"hello{SECRET}-{store}" if store else "hello")
    again = world.apply(env=tools)
    assert again.out == "No changes: 10 of 10 guests are as declared. Configuration up to date: 10 guests.\n"


@pytest.fixture(scope="module")
def troubled(world: World, tools: dict[str, str], ten: Done) -> tuple[str, str]:
    """What apply says when seven of the ten have a trouble each, and what it writes as errors."""
    for vmid in TEN:
        declare(world, vmid, "good-day", store=store_of(vmid))
    world.pct(KEY, "mv /root/.ssh/authorized_keys /root/.ssh/kept")
    world.pct(HOST, "rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh")
    world.pct(SILENT, "systemctl disable --now ssh")
    declare(world, FAILING, "fail")
    world.pct(FULL, "mkdir -p /srv/small; mount -t tmpfs -o size=256k small /srv/small")
    declare(world, FULL, "good-day", fill=8)
    declare(world, MISSING, "good-day", store="here", key="other")
    repository = world.repository("shop", Path(__file__).parent)
    called = f"{{role: release, vars: {{release_repository: '{repository.url}', release_branch: next}}}}"
    world.container(f"g{BRANCH}", BRANCH, f"configure: {{roles: [{called}]}}")
    done = world.apply(ok=False, env=tools)
    return done.out, done.err


@pytest.mark.parametrize(
    ("vmid", "reasons"),
    [
        (KEY, ["✗ Container/g401", "guest 401 on pve", "refuses to let root sign in with the key", "authorized_keys"]),
        (HOST, ["✗ Container/g402", "guest 402 on pve", "shows another SSH host key", "known_hosts/guest-402"]),
        (SILENT, ["✗ Container/g403", "guest 403 on pve", "did not answer SSH", "does sshd run in it"]),
        (FAILING, ["✗ Container/g404", "guest 404 on pve", "`hello : Be sure of the greeting`", "fail is no greeting"]),
        (FULL, ["✗ Container/g405", "guest 405 on pve", "No space left on device", "the guest's disk is full"]),
        (MISSING, ["MissingSecret", "Container/g406", "here/other is missing", "private/other", "g406.yaml"]),
        (BRANCH, ["NoSuchBranch", "Container/g407", "has no branch next", "g407.yaml"]),
    ],
)  # fmt: skip
def test_each_trouble_names_guest_step_and_what_to_do(troubled: tuple[str, str], vmid: int, reasons: list[str]) -> None:
    said = "".join(troubled)
    assert [reason for reason in reasons if reason not in said] == [], said


def test_the_others_go_on_and_the_next_run_recovers(
    world: World, troubled: tuple[str, str], tools: dict[str, str]
) -> None:
    assert [vmid for vmid in (408, 409, 410) if world.pct(vmid, "cat /srv/last") != "good-day"] == []
    assert world.pct(FAILING, "cat /srv/told /srv/last") == "failhello", "stopped in the middle"
    assert SECRET not in "".join(troubled)
    seen = world.status(tools)
    assert {seen[f"g{vmid}"]["sync"] for vmid in (MISSING, BRANCH)} == {"Unknown"}
    declare(world, FAILING, "hello", store=store_of(FAILING))
    (step,) = world.innkeeper("plan", "--source", "inside", "--only", f"g{FAILING}", "-o", "json", env=tools).json[
        "steps"
    ]
    assert step["action"] == "update", "as it was before, but only half of it is"
    assert "its last configuration was not finished" in step["reason"]
    world.pct(KEY, "mv /root/.ssh/kept /root/.ssh/authorized_keys")
    (world.data / "home/known_hosts/guest-402").unlink()
    world.pct(SILENT, "systemctl enable --now ssh")
    world.pct(FULL, "umount /srv/small; rmdir /srv/small")
    for vmid in range(401, 408):
        declare(world, vmid, "good-day", store=store_of(vmid))
    done = world.apply("--wait", "60", env=tools)
    assert "Configuration up to date: 3 guests." in done.out
    assert [vmid for vmid in TEN if world.pct(vmid, "cat /srv/last") != "good-day"] == []
    assert {(item["sync"], item["health"]) for item in world.status(tools).values()} == {("Synced", "Healthy")}


@pytest.mark.usefixtures("ten")
def test_addresses_that_others_have_are_not_taken(world: World, tools: dict[str, str]) -> None:
    """The machine of somebody else has one by cloud-init; this machine itself answers at another."""
    taken = f"{world.net}.150"
    machine = {"vmid": 900, "name": "theirs", "net0": "virtio,bridge=vmbr0", "ipconfig0": f"ip={taken}/24"}
    assert world.sim.do("POST", "/nodes/pve/qemu", machine) == "OK"
    for name, vmid in (("first", 450), ("second", 451), ("twin", 452)):
        world.container(name, vmid)
    second, twin = world.manifests / "second.yaml", world.manifests / "twin.yaml"
    twin.write_text(twin.read_text().replace(world.address(452), world.address(451)))
    plan = world.innkeeper("plan", "--source", "inside", env=tools)
    assert plan.status == 1
    assert "DuplicateAddress" in plan.err, plan.err
    assert "twin.yaml:6" in plan.err
    assert "Container/second" in plan.err
    twin.unlink()
    second.unlink()
    plan = world.innkeeper("plan", "--source", "inside", env=tools)
    assert f"Container/first: {taken} belongs to virtual machine 900 (theirs) on pve" in plan.err
    done = world.apply(ok=False, env=tools)
    assert "✓" not in done.out
    world.apply("--allow-ip-conflicts", env=tools)
    again = world.apply(env=tools)
    assert again.out == "No changes: 11 of 11 guests are as declared. Configuration up to date: 10 guests.\n"
