"""Every slip is found where it stands, with what is allowed there and the word that was meant."""

from pathlib import Path

import pytest

from innkeeper.manifests import load
from tests.innkeeper.manifests.mistakes import MISTAKES, Mistake

AROUND = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {name: home}
spec:
  endpoints: [https://127.0.0.1:8006]
  credentials: {tokenID: root@pam!full, tokenSecret: {env: SECRET}}
---
apiVersion: innkeeper.dev/v1alpha1
kind: Profile
metadata: {name: medium}
spec:
  supportedKinds: [Container]
  defaults: {memory: 1Gi}
  allowed:
    memory: {max: 2Gi}
    rootDisk.storage: {oneOf: [fast, slow]}
---
apiVersion: innkeeper.dev/v1alpha1
kind: Container
metadata: {name: db}
spec:
  cluster: home
  vmid: 101
  network: [{ip: 10.0.0.5/24, mac: "BC:24:11:00:00:05"}]
"""


@pytest.mark.parametrize("mistake", MISTAKES, ids=[f"{item.code}-{item.field}" for item in MISTAKES])
def test_a_mistake_is_named_in_its_place(mistake: Mistake, tmp_path: Path) -> None:
    (tmp_path / "around.yaml").write_text(AROUND)
    file = tmp_path / "case.yaml"
    file.write_text(mistake.written)

    loaded = load([tmp_path])

    found = [item for item in loaded.diagnostics if item.code == mistake.code]
    assert found, f"{mistake.code} is not among {loaded.diagnostics}"
    first = found[0]
    assert first.location is not None
    assert (first.location.file, first.location.line, first.location.column) == (str(file), *mistake.place)
    if mistake.field:
        assert first.summary.startswith(f"{mistake.field}: ")
    told = f"{first.summary}\n{first.detail}"
    assert mistake.says in told
    assert first.summary
    for jargon in (
        "pydantic",
        "errors.pyd",
        "Input should",
        "valid dictionary",
        "Traceback",
        "hunter2",
        "tuple",
        "None",
    ):
        assert jargon not in told
    others = [item for item in loaded.diagnostics if item.severity == "error" and item.code != mistake.code]
    tolerated = {"AmbiguousCluster"} | ({"UnknownField"} if mistake.code == "MissingField" else set())
    assert {item.code for item in others} <= tolerated, "one slip is one finding"


def test_a_word_that_yaml_readers_disagree_on_hides_no_other_mistake(tmp_path: Path) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(
        "apiVersion: innkeeper.dev/v1alpha1\nkind: Container\nmetadata: {name: web}\nspec:\n"
        "  running: no\n  cpu: {cores: 1e400}\n  tags: [!x a]\n  memory: 512\n  cpuu: 2\n"
    )

    loaded = load([file])

    found = [(item.code, item.location.line if item.location else 0) for item in loaded.diagnostics]
    assert found == [("AmbiguousWord", 5), ("BadNumber", 6), ("TagRefused", 7), ("BadQuantity", 8), ("UnknownField", 9)]


def test_what_a_terminal_would_obey_is_shown_as_text(tmp_path: Path) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(
        "apiVersion: innkeeper.dev/v1alpha1\nkind: Container\nmetadata: {name: web}\nspec:\n"
        '  network: [{name: "eth0\\nfoo"}]\n'
    )

    (found,) = (item for item in load([file]).diagnostics if item.code == "UnsafeValue")

    assert r'"eth0\nfoo"' in found.summary
