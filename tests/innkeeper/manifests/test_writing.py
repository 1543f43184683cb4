"""What is written reads back the same, whatever it holds, and looks like a person's work."""

import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from innkeeper.manifests import json_schema, load, manifest, manifest_of, to_yaml
from innkeeper.manifests.yamltext import documents

UNWRITABLE = "\ufeff\u2028\u2029\ufffe\uffff"
TRAPS = [
    "no",
    "On",
    "0755",
    "1_000",
    "12:34:56",
    "1e3",
    "0x1F",
    "0o7",
    "null",
    "~",
    "",
    " ",
    "a: b",
    "# x",
    "- a",
    "{a",
    "*a",
    "&a",
    "!x",
    "%",
    "@",
    "2024-01-01",
    "=",
    "<<",
    ".5",
    "1.",
    "+1",
]
LAYOUTS = ["a\nb\n", "a\n\nb", "\na", "a \nb", "|", "a\n"]
CHARACTERS = st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"], exclude_characters=UNWRITABLE)
PRINTABLE = st.text(CHARACTERS, max_size=20) | st.sampled_from(TRAPS + LAYOUTS)
SCALARS = PRINTABLE | st.integers(-(10**12), 10**12) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(PRINTABLE.filter(lambda key: "\n" not in key and key != "<<"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["cpu", "spec", "a", "options"]), VALUES))
def test_what_is_written_reads_back_equal(spec: dict[str, object]) -> None:
    written = manifest("Container", "web", spec)
    text = to_yaml([written, written])
    read = list(documents(text))
    assert [item.problems for item in read] == [(), ()]
    assert [item.value for item in read] == [written, written]


@given(st.dictionaries(st.sampled_from(["a", "b"]), PRINTABLE))
def test_other_readers_of_yaml_see_the_same_text(spec: dict[str, object]) -> None:
    assert yaml.safe_load(to_yaml([manifest("Container", "web", spec)]))["spec"] == spec


EXAMPLE: dict[str, Any] = {
    "vmid": 142,
    "node": "pve",
    "template": "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst",
    "cpu": {"cores": 2},
    "memory": "512Mi",
    "rootDisk": {"storage": "btr", "size": "8Gi"},
    "mounts": [{"path": "/data", "storage": "btr", "size": "4Gi", "backup": True}],
    "network": [
        {"name": f"eth{index}", "bridge": "vmbr0", "ip": f"10.0.{index}.42/24", "gateway": f"10.0.{index}.1"}
        for index in range(2)
    ],
    "unprivileged": True,
    "tags": ["web"],
    "description": "The website\n\nAsk Ada before touching it.\n",
    "options": {"console": 1, "hookscript": "local:snippets/hook.pl", "startup": "order=1"},
}


def test_it_looks_like_a_persons_work(snapshot: SnapshotAssertion) -> None:
    assert to_yaml([manifest("Container", "web", EXAMPLE, {"innkeeper.dev/adopt": "true"})]) == snapshot


def test_objects_become_the_manifests_that_declare_them(tmp_path: Path) -> None:
    cluster = {
        "endpoints": ["https://127.0.0.1:8006"],
        "credentials": {"tokenID": "root@pam!full", "tokenSecret": {"env": "SECRET"}},
        "vmids": {"from": 200, "to": 300},
    }
    (tmp_path / "a.yaml").write_text(
        to_yaml([manifest("Cluster", "home", cluster), manifest("Container", "web", EXAMPLE)])
    )
    first = load([tmp_path]).declared
    (tmp_path / "a.yaml").write_text(to_yaml([manifest_of(first.clusters[0]), manifest_of(first.guests[0])]))
    second = load([tmp_path])
    assert second.ok, second.diagnostics
    assert second.declared.clusters[0].spec == first.clusters[0].spec
    assert second.declared.guests[0].spec == first.guests[0].spec


def test_the_schema_knows_every_kind_and_field(snapshot: SnapshotAssertion) -> None:
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    outline = {
        name: sorted(model.get("properties", {})) for name, model in schema["$defs"].items() if name.endswith("Spec")
    }
    assert outline == snapshot
