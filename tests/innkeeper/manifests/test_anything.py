"""Whatever is in a file, reading it ends in findings, never in an exception."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from innkeeper.manifests import load
from tests.innkeeper.manifests.mistakes import MISTAKES

VALID = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Container
metadata: {name: web, labels: {a: b}}
spec:
  cluster: home
  vmid: 142
  cpu: {cores: 2}
  memory: 512Mi
  mounts: [{path: /data, size: 4Gi}]
  network: [{name: eth0, ip: 10.0.10.42/24, gateway: 10.0.10.1}]
  needs: [Container/web]
  options: {console: 1}
---
apiVersion: innkeeper.dev/v1alpha1
kind: Profile
metadata: {name: small}
spec: {defaults: {cpu: {cores: 1}}, allowed: {cpu.cores: {max: 2}}}
"""
TOKENS = st.sampled_from(
    [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "-",
        "?",
        "&",
        "*",
        "!",
        "|",
        ">",
        "#",
        "'",
        '"',
        "%",
        "@",
        "\t",
        "\n",
        "\ufeff",
        "é",
        "&a",
        "*a",
        "!!int",
        "---",
        "...",
        "no",
        "1",
        "null",
        "~",
        "0755",
        ".nan",
        "\\x00",
        "spec",
        "kind",
        "\n  ",
        ": ",
        "- ",
        "---\n",
        "profile: small",
        "%YAML 1.1\n",
    ]
)
RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)


def read(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(content)
    loaded = load([tmp_path])
    for item in loaded.diagnostics:
        assert item.code
        assert item.summary
        assert item.location is not None or item.code == "NoManifests"


@RELAXED
@given(content=st.binary(max_size=200))
def test_bytes(tmp_path: Path, content: bytes) -> None:
    read(tmp_path, content)


@RELAXED
@given(text=st.text(max_size=200) | st.lists(TOKENS, max_size=40).map("".join))
def test_text(tmp_path: Path, text: str) -> None:
    read(tmp_path, text.encode("utf-8", "surrogatepass"))


@RELAXED
@given(at=st.integers(0, len(VALID)), cut=st.integers(0, 12), new=st.lists(TOKENS, max_size=4).map("".join))
def test_a_manifest_with_a_hole(tmp_path: Path, at: int, cut: int, new: str) -> None:
    read(tmp_path, (VALID[:at] + new + VALID[at + cut :]).encode("utf-8", "surrogatepass"))


VALUES = st.sampled_from(
    ["null", "1", "-1", "1.5", "true", '""', "text", "[]", "[1]", "[[]]", "{}", "{a: 1}", "[{}]", "1e400"]
)
TOP = st.sampled_from(["metadata", "spec", "kind", "apiVersion"])
FIELDS = st.sampled_from(
    ["cluster", "vmid", "profile", "needs", "tags", "options", "cpu", "memory", "swap", "rootDisk", "mounts", "network",
     "dns", "sshKeys", "disks", "cloudInit", "clone", "bootOrder", "balloon", "defaults", "allowed", "supportedKinds",
     "endpoints", "credentials", "tls", "vmids"]
)  # fmt: skip
KINDS = st.sampled_from(["Cluster", "Container", "VirtualMachine", "Profile"])


@RELAXED
@given(kind=KINDS, fields=st.dictionaries(FIELDS, VALUES, max_size=6), top=st.dictionaries(TOP, VALUES, max_size=2))
def test_any_value_in_any_field(tmp_path: Path, kind: str, fields: dict[str, str], top: dict[str, str]) -> None:
    inner = ", ".join(f"{name}: {value}" for name, value in fields.items())
    whole = {"apiVersion": "innkeeper.dev/v1alpha1", "kind": kind, "metadata": "{name: small}", "spec": f"{{{inner}}}"}
    read(tmp_path, "\n".join(f"{name}: {value}" for name, value in (whole | top).items()).encode())


def test_nesting_ends_before_the_process_does(tmp_path: Path) -> None:
    for opening in ("[", "{a: ", "- ", "? "):
        read(tmp_path, (opening * 200_000).encode())


def test_every_mistake_cut_anywhere(tmp_path: Path) -> None:
    for mistake in MISTAKES[::9]:
        text = mistake.written
        for end in range(0, min(len(text), 600), 7):
            read(tmp_path, text[:end].encode("utf-8", "ignore"))
