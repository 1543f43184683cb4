"""Applications become containers, profiles bring roles, and what is wrong inside is named in its place."""

# ruff: noqa: E501 - a table reads best with a row a line

from pathlib import Path
from textwrap import indent

import pytest

from innkeeper.engine.describe import insides
from innkeeper.manifests import Loaded, load
from innkeeper.model.objects import Guest

CLUSTER = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {name: home}
spec:
  endpoints: [https://127.0.0.1:8006]
  credentials: {tokenID: root@pam!full, tokenSecret: {env: SECRET}}
"""
SHOP = """\
repository: {url: "https://example.org/shop.git", key: {secretRef: {name: vault, key: deploy_key}}}
memory: 1Gi
network: [{name: eth0, bridge: vmbr1}]
env: {LEVEL: info, TOKEN: {secretRef: {name: env, key: token}}}
configure:
  secrets: {vault: {vault: vault.yml}}
  roles: [{role: base}, {role: base_os}, {role: mine, vars: {colour: red, size: 1}}, {role: app_setup}]
environments:
  dev: {vmid: 201, ip: 10.0.10.21/24, gateway: 10.0.10.1, branch: dev, env: {LEVEL: debug}}
  prod:
    name: shop
    memory: 2Gi
    ports: {backend: 4001}
    configure: {roles: [{role: mine, vars: {colour: blue}}]}
"""


def document(kind: str, name: str, spec: str) -> str:
    head = f"---\napiVersion: innkeeper.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n"
    return head + indent(spec, "  ") + "\n"


def read(tmp_path: Path, *documents: str) -> Loaded:
    (tmp_path / "all.yaml").write_text(CLUSTER + "".join(documents))
    role(tmp_path / "roles/mine")
    return load([tmp_path])


def role(path: Path) -> None:
    (path / "tasks").mkdir(parents=True, exist_ok=True)
    (path / "tasks/main.yml").write_text("- {name: Say, ansible.builtin.debug: {msg: '{{ x }}'}, tags: !vault x}\n")


def test_a_variable_is_the_text_of_a_file(tmp_path: Path) -> None:
    spec = "configure: {roles: [{role: mine, vars: {page: {fileRef: page.html}, all: {a: [{fileRef: more/b.txt}]}}}]}\n"
    (tmp_path / "more").mkdir()
    (tmp_path / "page.html").write_text("<h1>{{ hello }}</h1>\n")
    (tmp_path / "more/b.txt").write_text("b")
    loaded = read(tmp_path, document("Container", "web", spec))
    assert loaded.ok, loaded.diagnostics
    calls = insides(loaded.declared)[0].roles
    assert calls[0].variables == {"page": "<h1>{{ hello }}</h1>\n", "all": {"a": ("b",)}}
    assert variables(loaded.declared.guests[0], "mine")["page"] == {"fileRef": "page.html"}, "the manifest stays"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("{fileRef: ../secret}", "leads out"),
        ("{fileRef: /etc/hostname}", "leads out"),
        ("{fileRef: link}", "a link that leads out"),
        ("{fileRef: nothing}", "is not there"),
        ("{fileRef: roles}", "cannot be read"),
        ("{fileRef: binary}", "is not text"),
        ("{fileRef: large}", "larger than 1 MiB"),
        ("{fileRef: [a]}", "no reference to a file"),
        ("{fileRef: large, more: 1}", "no reference to a file"),
    ],
)
def test_a_file_that_is_no_text_beside_the_manifest(tmp_path: Path, reference: str, said: str) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large").write_bytes(b"x" * (1 << 20) + b"x")
    spec = f"configure: {{roles: [{{role: mine, vars: {{page: {reference}}}}}]}}\n"
    loaded = read(tmp_path, document("Container", "web", spec))
    problems = [(item.code, item.location.line if item.location else 0) for item in loaded.diagnostics]
    assert problems == [("BadFileRef", 12)], loaded.diagnostics
    assert said in loaded.diagnostics[0].summary


def variables(guest: Guest, name: str) -> dict[str, object]:
    assert guest.spec.configure is not None
    return next(dict(call.vars) for call in guest.spec.configure.roles if call.role == name)


def test_an_application_is_a_container_for_each_environment(tmp_path: Path) -> None:
    loaded = read(tmp_path, document("Application", "webshop", SHOP))
    assert loaded.ok, loaded.diagnostics
    dev, prod = loaded.declared.guests
    assert (str(dev.ref), dev.spec.vmid, str(prod.ref), prod.spec.vmid) == (
        "Container/webshop-dev", 201, "Container/shop", None,
    )  # fmt: skip
    assert dict(dev.labels) == {"innkeeper.dev/project": "webshop", "innkeeper.dev/environment": "dev"}
    assert dev.spec.running is True
    assert dev.spec.network is not None
    assert (dev.spec.network[0].bridge, dev.spec.network[0].ip) == ("vmbr1", "10.0.10.21/24")  # type: ignore[union-attr]
    assert variables(dev, "app_setup") == {
        "app_setup_name": "webshop",
        "app_setup_environment": "dev",
        "app_setup_repository": "https://example.org/shop.git",
        "app_setup_key": {"secretRef": {"name": "vault", "key": "deploy_key"}},
        "app_setup_branch": "dev",
        "app_setup_env": {"LEVEL": "debug", "TOKEN": {"secretRef": {"name": "env", "key": "token"}}},
        "app_setup_backend_port": 3001,
        "app_setup_frontend_port": 3000,
    }
    assert variables(prod, "base_os") == {"base_os_ports": ("4001", "3000")}
    assert variables(prod, "mine") == {"colour": "blue", "size": 1}
    assert [Path(directory).name for directory in prod.roles] == ["base", "base_os", "mine", "app_setup"]
    assert prod.roles[2] == str(tmp_path / "roles/mine")


def test_fields_of_an_environment_are_found_where_they_stand(tmp_path: Path) -> None:
    loaded = read(tmp_path, document("Application", "webshop", SHOP))
    text = (tmp_path / "all.yaml").read_text().splitlines()
    dev, prod = loaded.declared.guests

    def line(guest: Guest, path: str) -> str:
        return text[guest.origin.at(path).line - 1].strip()

    assert line(dev, "spec.network.0.ip").startswith("dev:")
    assert line(dev, "spec.network.0.bridge").startswith("network:")
    assert (line(dev, "spec.memory"), line(prod, "spec.memory")) == ("memory: 1Gi", "memory: 2Gi")
    assert line(prod, "spec.configure.roles.2.vars.colour").startswith("configure: {roles")
    assert line(prod, "spec.configure.roles.2.vars.size").startswith("roles: [{role: base}")


def test_a_profile_brings_roles_and_a_guest_gives_them_variables(tmp_path: Path) -> None:
    profile = document(
        "Profile", "site",
        "defaultPackages: [htop]\ndefaultWebServer: apache\nhealth: [{http: {port: 80}}]\n"
        "configure: {roles: [{role: base, vars: {base_timezone: Europe/Oslo}}, {role: web, vars: {web_port: 80}}]}\n",
    )  # fmt: skip
    guest = document(
        "Container", "web", "profile: site\nconfigure: {roles: [{role: web, vars: {web_index: hi}}, {role: mine}]}"
    )
    loaded = read(tmp_path, profile, guest)
    assert loaded.ok, loaded.diagnostics
    (web,) = loaded.declared.guests
    assert variables(web, "base") == {"base_timezone": "Europe/Oslo", "base_extra_packages": ("htop",)}
    assert variables(web, "web") == {"web_port": 80, "web_server": "apache", "web_index": "hi"}
    assert [Path(directory).name for directory in web.roles] == ["base", "web", "mine"]
    assert web.spec.health is not None
    assert [check.title for check in web.spec.health] == ["http 80/"]


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("static-website", ["base", "web"]),
        ("generic-service", ["base", "base_os"]),
        ("monitoring-node", ["base", "node_exporter"]),
        ("web-app", ["base", "base_os", "web"]),
    ],
)
def test_profiles_that_come_with_innkeeper(tmp_path: Path, name: str, roles: list[str]) -> None:
    loaded = read(tmp_path, document("Container", "x", f"profile: {name}"))
    assert loaded.ok, loaded.diagnostics
    (guest,) = loaded.declared.guests
    assert [Path(directory).name for directory in guest.roles] == roles
    assert variables(guest, "base")["base_extra_packages"]
    assert guest.spec.health
    if name == "static-website":
        assert variables(guest, "web") == {
            "web_document_root": "/srv/www", "web_owner": "app", "web_server": "nginx",
        }  # fmt: skip


def test_a_profile_of_ones_own_hides_the_bundled_one(tmp_path: Path) -> None:
    mine = document("Profile", "web-app", "defaults: {memory: 1Gi}")
    loaded = read(tmp_path, mine, document("Container", "x", "profile: web-app"))
    assert [(item.severity, item.code) for item in loaded.diagnostics] == [("info", "ProfileHidden")]
    assert loaded.declared.guests[0].spec.configure is None


def test_roles_are_looked_for_beside_the_manifest_and_above_it_in_its_checkout(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "guests").mkdir()
    role(tmp_path / "shared")
    guest = document("Container", "web", "configure: {roles: [{role: shared}, {role: roles/mine}]}")
    loaded = read(tmp_path / "guests", guest)
    assert loaded.ok, loaded.diagnostics
    assert loaded.declared.guests[0].roles == (str(tmp_path / "shared"), str(tmp_path / "guests/roles/mine"))


def test_a_link_does_not_lead_out_of_the_checkout(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    role(tmp_path / "outside/evil")
    (inside / "roles").mkdir(parents=True)
    (inside / "roles/evil").symlink_to(tmp_path / "outside/evil")
    loaded = read(inside, document("Container", "web", "configure: {roles: [{role: evil}]}"))
    assert [item.code for item in loaded.diagnostics] == ["UnknownRole"]


@pytest.mark.parametrize(
    ("code", "says", "spec"),
    [
        ("UnknownRole", "Did you mean node_exporter?", "configure: {roles: [{role: node-exportr}]}"),
        ("UnsafeValue", "leads out of it", "configure: {roles: [{role: roles/../../x}]}"),
        ("BadSecretRef", "secretRef: {name", "configure: {roles: [{role: base, vars: {a: [{secretRef: {key: x}}]}}]}"),
        ("BadSecretRef", "beside", "configure: {roles: [{role: base, vars: {a: {secretRef: {name: env, key: x}, b: 1}}}]}"),
        ("UnknownSecretStore", "Did you mean vault?",
         "configure: {secrets: {vault: {vault: v}}, roles: [{role: base, vars: {a: {secretRef: {name: valt, key: x}}}}]}"),
        ("BadCombination", "exactly one of tcp, http", "health: [{tcp: 80, systemd: nginx}]"),
        ("UnknownField", "Did you mean contains?", "health: [{http: {contain: x}}]"),
        ("BadCombination", "exactly one of env, files", "configure: {secrets: {a: {}}}"),
    ],
)  # fmt: skip
def test_mistakes_inside_are_named(tmp_path: Path, code: str, says: str, spec: str) -> None:
    loaded = read(tmp_path, document("Container", "web", spec))
    found = [item for item in loaded.diagnostics if item.code == code]
    assert found, loaded.diagnostics
    assert says in f"{found[0].summary} {found[0].detail}"
    assert found[0].location is not None
    assert found[0].location.line == CLUSTER.count("\n") + 6


@pytest.mark.parametrize(
    ("code", "spec"),
    [
        ("MissingField", "environments: {}"),
        ("UnknownField", "vmid: 100\nenvironments: {dev: {}}"),
        ("BadValue", "environments: {dev: {branch: '-x'}}"),
        ("BadQuantity", "environments: {dev: {memory: 12}}"),
        ("DuplicateName", "environments: {dev: {name: same}, qa: {name: same}}"),
        ("DuplicateAddress", "environments: {dev: {ip: 10.0.0.1/24}, qa: {ip: 10.0.0.1/24}}"),
        ("DuplicateVMID", "environments: {dev: {vmid: 100}, qa: {vmid: 100}}"),
    ],
)
def test_mistakes_in_an_application_are_named(tmp_path: Path, code: str, spec: str) -> None:
    loaded = read(tmp_path, document("Application", "shop", spec))
    assert code in [item.code for item in loaded.diagnostics]
