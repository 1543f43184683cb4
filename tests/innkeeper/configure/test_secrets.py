"""Secrets from every kind of store, made by the tools that make them; and all that are missing, at once."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innkeeper.configure.example import example
from innkeeper.configure.insider import Insides
from innkeeper.configure.scrub import Scrubber
from innkeeper.configure.secrets.references import filled, references
from innkeeper.configure.secrets.stores import Missing, Secrets
from innkeeper.model.inside import SecretRef, SecretStore
from tests.innkeeper.configure.conftest import inside, role

PASSWORD = "hunter {{ 2 }}: # \" ' ä"
PLAIN = f"""
db_password: {json.dumps(PASSWORD, ensure_ascii=False)}
port: 5432
nested:
  key: |
    line one
    line two
"""


def ref(key: str, name: str = "mine") -> dict[str, object]:
    return {"secretRef": {"name": name, "key": key}}


def get(directory: Path, key: str, store: Mapping[str, str], **environ: str) -> object:
    found = Secrets({"PATH": os.environ["PATH"], **environ})
    return found.get(SecretRef(name="mine", key=key), {"mine": SecretStore.model_validate(store)}, directory)


def ansible_vault(*words: str, **options: str) -> str:
    command = [sys.executable, "-m", "ansible", "vault", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, input=options.get("stdin")).stdout


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    """A whole encrypted vault, one with single encrypted values, and their password's file."""
    (tmp_path / "password").write_text("open sesame\n")
    (tmp_path / "vault.yml").write_text("---" + PLAIN)
    password = f"--vault-password-file={tmp_path / 'password'}"
    ansible_vault("encrypt", password, str(tmp_path / "vault.yml"))
    single = ansible_vault("encrypt_string", password, "--stdin-name", "db_password", stdin=PASSWORD)
    labelled = ansible_vault(
        "encrypt_string", "--vault-id", f"prod@{tmp_path / 'password'}", "--name", "labelled", "with a label"
    )
    (tmp_path / "mixed.yml").write_text(f"plain: text\n{single}\n{labelled}\n")
    return tmp_path


def test_an_existing_vault_works_unchanged(vault: Path) -> None:
    store = {"vault": "vault.yml", "vaultPasswordFile": "password"}
    assert (vault / "vault.yml").read_text().startswith("$ANSIBLE_VAULT;1.1;AES256")
    assert get(vault, "db_password", store) == PASSWORD
    assert get(vault, "port", store) == 5432
    assert get(vault, "nested.key", store) == "line one\nline two\n"


def test_single_encrypted_values(vault: Path) -> None:
    store = {"vault": "mixed.yml", "vaultPasswordCommand": "cat password"}
    assert get(vault, "db_password", store) == PASSWORD
    assert get(vault, "labelled", store) == "with a label"
    assert get(vault, "plain", store) == "text"


def test_a_password_file_that_is_a_program_is_run(vault: Path) -> None:
    (vault / "program").write_text("#!/bin/sh\necho open sesame\n")
    (vault / "program").chmod(0o755)
    assert get(vault, "port", {"vault": "vault.yml", "vaultPasswordFile": "program"}) == 5432


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ({"vault": "vault.yml"}, "does not say where its password is"),
        ({"vault": "vault.yml", "vaultPasswordFile": "none"}, "No such file"),
        ({"vault": "vault.yml", "vaultPasswordFile": "wrong"}, "cannot be decrypted with this password"),
        ({"vault": "vault.yml", "vaultPasswordCommand": "false"}, "false ended with status 1"),
        ({"vault": "gone.yml"}, "is not there"),
        ({"vault": "damaged.yml", "vaultPasswordFile": "password"}, "is damaged"),
        ({"vault": "old.yml", "vaultPasswordFile": "password"}, "is not in a form of Ansible Vault that is known"),
        ({"vault": "list.yml", "vaultPasswordFile": "password"}, "does not hold keys and values"),
        ({"files": "."}, "No such file"),
        ({"env": "SHOP_"}, "the environment variable SHOP_port2 or SHOP_PORT2 is not set"),
        ({"vault": "mixed.yml", "vaultPasswordFile": "password"}, "has no key port2"),
    ],
)
def test_what_is_missing_is_told_by_its_place(vault: Path, store: Mapping[str, str], expected: str) -> None:
    (vault / "wrong").write_text("open barley")
    (vault / "damaged.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    (vault / "old.yml").write_text("$ANSIBLE_VAULT;1.0;AES\n6162\n")
    (vault / "list.yml").write_text("- a\n")
    with pytest.raises(Missing) as caught:
        get(vault, "port2", store)
    assert expected in caught.value.place
    assert "sesame" not in repr(caught.value)
    assert PASSWORD not in repr(caught.value)


def test_the_environment_and_files(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/deploy.key").write_text("a\nb\n")
    assert get(tmp_path, "deploy.key", {"files": "keys"}) == "a\nb"
    assert get(tmp_path, "deploy.key", {"env": "SHOP_"}, SHOP_DEPLOY_KEY="x") == "x"
    assert get(tmp_path, "token", {"env": "SHOP_"}, SHOP_token="y", SHOP_TOKEN="z") == "y"
    assert Secrets({"TOKEN": "t"}).get(SecretRef(name="env", key="TOKEN"), {}, tmp_path) == "t"


def test_age(tmp_path: Path) -> None:
    pyrage = pytest.importorskip("pyrage")
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "age.txt").write_text(f"# created: today\n{identity}\n")
    encrypted = pyrage.encrypt(PLAIN.encode(), [identity.to_public()])
    (tmp_path / "secrets.age").write_bytes(encrypted)
    assert get(tmp_path, "db_password", {"age": "secrets.age", "ageIdentity": "age.txt"}) == PASSWORD
    other = pyrage.x25519.Identity.generate()
    (tmp_path / "other.txt").write_text(str(other))
    with pytest.raises(Missing, match="cannot be decrypted with the identity"):
        get(tmp_path, "db_password", {"age": "secrets.age", "ageIdentity": "other.txt"})


def test_age_with_armour_as_the_age_command_writes_it(tmp_path: Path) -> None:
    if shutil.which("age") is None:
        pytest.skip("needs: age")
    pyrage = pytest.importorskip("pyrage")
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "age.txt").write_text(f"{identity}\n")
    command = ["age", "--armor", "-r", str(identity.to_public()), "-o", str(tmp_path / "secrets.age")]
    subprocess.run(command, input=PLAIN.encode(), check=True)
    assert get(tmp_path, "port", {"age": "secrets.age", "ageIdentity": "age.txt"}) == 5432


def test_sops(tmp_path: Path) -> None:
    sops = shutil.which("sops")
    if sops is None:
        pytest.skip("no sops here: Debian does not package it; CI builds it where there is a Go toolchain")
    pyrage = pytest.importorskip("pyrage")
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "age.txt").write_text(f"{identity}\n")
    (tmp_path / "secrets.yaml").write_text(PLAIN)
    encrypt = [sops, "--encrypt", "--age", str(identity.to_public()), "--in-place", str(tmp_path / "secrets.yaml")]
    subprocess.run(encrypt, check=True)
    environ = {"SOPS_AGE_KEY_FILE": str(tmp_path / "age.txt")}
    assert get(tmp_path, "db_password", {"sops": "secrets.yaml"}, **environ) == PASSWORD
    assert get(tmp_path, "port", {"sops": "secrets.yaml"}, **environ) == 5432
    with pytest.raises(Missing, match="ended with status"):
        get(tmp_path, "db_password", {"sops": "secrets.yaml"})


async def test_all_that_is_missing_is_listed_at_once(insides: Insides, tmp_path: Path) -> None:
    app = role(tmp_path, "app", "[]")
    values = {"a": {"b": [ref("one"), {"c": ref("two")}]}, "d": ref("three"), "e": ref("PATH", "env")}
    stores = {"mine": {"files": "store"}}
    items = [inside(tmp_path, [(app, values)], stores=stores), inside(tmp_path, [(app, {"x": ref("one")})], name="db")]
    ready = await insides.prepare(items)
    assert [item.summary for item in ready.diagnostics] == [
        f"Container/web: the secret mine/one is missing: the file {tmp_path}/store/one: No such file or directory",
        f"Container/web: the secret mine/two is missing: the file {tmp_path}/store/two: No such file or directory",
        f"Container/web: the secret mine/three is missing: the file {tmp_path}/store/three: No such file or directory",
        "Container/db: the secret mine/one is missing: no store is called mine",
    ]
    assert {item.code for item in ready.diagnostics} == {"MissingSecret"}
    assert ready.fingerprints == {}


async def test_a_reference_that_is_none(insides: Insides, tmp_path: Path) -> None:
    item = inside(tmp_path, [(role(tmp_path, "app", "[]"), {"x": {"secretRef": "mine"}})])
    ready = await insides.prepare([item])
    assert [finding.code for finding in ready.diagnostics] == ["BadSecretRef"]


def test_an_example_shows_what_to_fill_in(tmp_path: Path) -> None:
    values = {"a": ref("db_password", "vault"), "b": ref("smtp.token", "env"), "c": [ref("id_ed25519", "keys")]}
    stores = {"vault": {"vault": "vault.yml"}, "keys": {"files": "keys"}}
    web = inside(tmp_path, [("web", values)], stores=stores)
    db = inside(tmp_path, [("db", {"p": ref("db_password", "vault"), "q": ref("x", "lost")})], stores=stores, name="db")
    assert example([web, db]) == (
        "# env: environment variables\n# Container/web\nexport SMTP_TOKEN=CHANGE-ME\n\n"
        "# keys: files in the directory keys, mode 0600\n# Container/web\n# keys/id_ed25519\n\n"
        "# lost: this store is not declared; add it to spec.configure.secrets\n# Container/db\n# x\n\n"
        "# vault: write this to vault.yml, then: ansible-vault encrypt vault.yml\n"
        "# Container/web, Container/db\ndb_password: CHANGE-ME\n"
    )
    assert example([]) == ""


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.builds(ref, st.sampled_from(["one", "two"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text().filter(lambda key: key != "secretRef"), inner),
)


@given(VALUES)
def test_every_reference_is_found_and_filled(value: object) -> None:
    found = [reference.key for _, reference in references(value)]
    asked: list[str] = []

    def secret(reference: SecretRef) -> str:
        asked.append(reference.key)
        return "filled"

    result = filled(value, secret)
    assert asked == found
    assert list(references(result)) == []
    if not found:
        assert result == value


@given(st.lists(st.text(min_size=4)), st.text(), st.text())
def test_nothing_that_is_said_holds_a_secret(secrets: list[str], before: str, after: str) -> None:
    scrub = Scrubber(secrets)
    for secret in secrets:
        if len(secret.strip()) >= 4 and secret not in "***":
            assert secret not in scrub(f"{before}{secret}{after}") or "*" in secret
