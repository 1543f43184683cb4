"""Edits of manifests: what was meant changes, and not a character besides."""

import pytest

from innkeeper.control.editing import REMOVED, Path, edited, without
from innkeeper.engine.errors import Stalled
from innkeeper.model.objects import Ref

WEB = Ref("Container", "web")
TEXT = """\
# The house
apiVersion: innkeeper.dev/v1alpha1
kind: Container
metadata: {name: db}
spec:
  memory: 1Gi
---
apiVersion: innkeeper.dev/v1alpha1
kind: Container
metadata:
  name: web  # the website
spec:
  vmid: 101   # never changes
  memory: 512Mi # enough
  cpu:
    # two are plenty
    cores: 2
  rootDisk: {size: 8Gi, storage: fast}
  network:
    - name: eth0
      ip: 10.0.0.5/24  # static
      gateway: 10.0.0.1
  dns: {nameservers: [10.0.0.1, 10.0.0.2]}
  description: |
    A site
    of two lines
  tags: [a, b]  # last
"""


def changed(old: str, new: str, text: str = TEXT) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("spec", "memory"), "2Gi", changed("512Mi #", "2Gi #")),
        (("spec", "cpu", "cores"), 4, changed("cores: 2", "cores: 4")),
        (("spec", "cpu", "limit"), 1.5, changed("    cores: 2\n", "    cores: 2\n    limit: 1.5\n")),
        (("spec", "rootDisk", "size"), "16Gi", changed("{size: 8Gi,", "{size: 16Gi,")),
        (("spec", "rootDisk", "note"), "x", changed("storage: fast}", "storage: fast, note: x}")),
        (("spec", "rootDisk", "storage"), REMOVED, changed("{size: 8Gi, storage: fast}", "{size: 8Gi}")),
        (("spec", "rootDisk", "size"), REMOVED, changed("{size: 8Gi, storage: fast}", "{storage: fast}")),
        (("spec", "network", 0, "ip"), "10.0.0.9/24", changed("10.0.0.5/24", "10.0.0.9/24")),
        (("spec", "network", 0, "vlan"), 7, changed("gateway: 10.0.0.1\n", "gateway: 10.0.0.1\n      vlan: 7\n")),
        (("spec", "network", 0, "gateway"), REMOVED, changed("      gateway: 10.0.0.1\n", "")),
        (("spec", "dns", "nameservers"), ["1.1.1.1"], changed("[10.0.0.1, 10.0.0.2]", "[1.1.1.1]")),
        (("spec", "description"), "short", changed("|\n    A site\n    of two lines", "short")),
        (("spec", "description"), "two\nlines", changed("|\n    A site\n    of two lines", '"two\\nlines"')),
        (("spec", "tags"), ["a"], changed("[a, b]", "[a]")),
        (("spec", "running"), True, TEXT + "  running: true\n"),
        (("spec", "expose"), {"domain": "a.example"}, TEXT + "  expose: {domain: a.example}\n"),
        (("spec", "network"), [{"name": "eth0"}], changed(
            "\n    - name: eth0\n      ip: 10.0.0.5/24  # static\n      gateway: 10.0.0.1\n", " [{name: eth0}]\n")),
        (("spec", "hostname"), "on", TEXT + '  hostname: "on"\n'),
        (("spec", "cpu"), REMOVED, changed("  cpu:\n    # two are plenty\n    cores: 2\n", "")),
    ],
)  # fmt: skip
def test_one_field(path: Path, value: object, expected: str) -> None:
    assert edited(TEXT, WEB, {path: value}) == expected


def test_several_at_once() -> None:
    found = edited(TEXT, WEB, {("spec", "memory"): "1Gi", ("spec", "cpu", "cores"): 1, ("spec", "tags"): REMOVED})
    assert found == changed("512Mi #", "1Gi #").replace("cores: 2", "cores: 1").replace("  tags: [a, b]  # last\n", "")


def test_a_document_is_taken_out() -> None:
    first, second = TEXT.split("---\n")
    assert without(TEXT, WEB) == first
    assert without(TEXT, Ref("Container", "db")) == "# The house\n" + second
    assert without(second, WEB) is None


@pytest.mark.parametrize(
    "value", ["a: b", "a, b}", "#x", "- y", "'", '"', "no", "0755", "{", "é", "x\ty", " lead", "true"]
)
def test_text_stays_text(value: str) -> None:
    """Whatever somebody types is one value, never a piece of YAML."""
    from innkeeper.control.editing import data_of

    found = edited(TEXT, WEB, {("spec", "description"): value})
    assert data_of(found, WEB)["spec"]["description"] == value


def test_what_cannot_be_told_is_refused() -> None:
    with pytest.raises(Stalled, match="holds no"):
        edited(TEXT, Ref("Container", "nobody"), {("spec", "memory"): "1Gi"})
    with pytest.raises(Stalled, match="by hand"):
        edited(TEXT, WEB, {("spec", "network", 3, "ip"): "1Gi"})
