"""What a manifest tells the network: domains, and what it takes to be measured."""

from pathlib import Path

import pytest

from innkeeper.manifests import Loaded, load
from tests.innkeeper.manifests.test_profiles import CLUSTER

EXPOSED = "expose: {domain: www.example.org}"


def read(tmp_path: Path, *specs: str, profile: str = "") -> Loaded:
    head = "---\napiVersion: innkeeper.dev/v1alpha1\n"
    allowed = f"{head}kind: Profile\nmetadata: {{name: shop}}\nspec: {profile}\n" if profile else ""
    guests = [f"{head}kind: Container\nmetadata: {{name: web{i}}}\nspec: {{{text}}}\n" for i, text in enumerate(specs)]
    (tmp_path / "all.yaml").write_text(CLUSTER + allowed + "".join(guests))
    return load([tmp_path])


def test_a_measured_guest_gets_its_exporter_beside_its_own_roles(tmp_path: Path) -> None:
    loaded = read(tmp_path, "monitoring: true, configure: {roles: [{role: web}]}", "monitoring: false", "memory: 1Gi")
    assert loaded.ok, loaded.diagnostics
    measured, silent, plain = loaded.declared.guests
    assert measured.spec.configure is not None
    assert [call.role for call in measured.spec.configure.roles] == ["node_exporter", "web"]
    assert silent.spec.configure is None
    assert plain.spec.configure is None
    assert measured.spec.running is True


def test_variables_of_the_exporter_are_kept(tmp_path: Path) -> None:
    role = "{role: node_exporter, vars: {node_exporter_listen: '127.0.0.1:9100'}}"
    (guest,) = read(tmp_path, f"monitoring: true, configure: {{roles: [{role}]}}").declared.guests
    assert guest.spec.configure is not None
    assert [(call.role, call.vars) for call in guest.spec.configure.roles] == [
        ("node_exporter", {"node_exporter_listen": "127.0.0.1:9100"})
    ]


def test_a_domain_leads_to_one_guest(tmp_path: Path) -> None:
    (found,) = read(tmp_path, EXPOSED, EXPOSED).diagnostics
    assert found.code == "DuplicateDomain"
    assert "domain www.example.org belongs to Container/web0 already" in found.summary
    assert found.location is not None
    assert found.location.line == 16


@pytest.mark.parametrize(
    ("profile", "guest", "codes"),
    [
        ("{allowDomain: true}", EXPOSED, []),
        ("{}", EXPOSED, ["ProfileExposure"]),
        ("{allowDomain: true}", "expose: {domain: www.example.org, public: true}", ["ProfileExposure"]),
        (
            "{allowDomain: true, allowPublicExposure: true}",
            "expose: {domain: www.example.org, public: true}",
            [],
        ),
    ],
)
def test_a_profile_decides_what_its_guests_may_be_to_others(
    tmp_path: Path, profile: str, guest: str, codes: list[str]
) -> None:
    loaded = read(tmp_path, f"profile: shop, {guest}", profile=profile)
    assert [item.code for item in loaded.diagnostics] == codes


@pytest.mark.parametrize("domain", ["example", "WWW.example.org", "a..b", "-a.org", "a.org/x", "*.a.org", "a.org\\n"])
def test_a_domain_is_a_plain_name(tmp_path: Path, domain: str) -> None:
    loaded = read(tmp_path, f'expose: {{domain: "{domain}"}}')
    assert not loaded.ok
    assert loaded.diagnostics[0].summary.startswith("spec.expose.domain")
