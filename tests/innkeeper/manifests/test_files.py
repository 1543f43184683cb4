"""What is read, what is left out, and what can go wrong before any YAML is understood."""

import io
import os
import sys
from pathlib import Path

import pytest

from innkeeper.manifests import load

CLUSTER = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {name: home}
spec:
  endpoints: [https://127.0.0.1:8006]
  credentials: {tokenID: root@pam!full, tokenSecret: {env: SECRET}}
"""
GUEST = "apiVersion: innkeeper.dev/v1alpha1\nkind: Container\nmetadata: {name: %s}\nspec: {}\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    return tmp_path


def codes(path: Path | str) -> list[tuple[str, str]]:
    return [(item.severity, item.code) for item in load([path]).diagnostics]


def names(*paths: Path) -> list[str]:
    loaded = load(paths)
    assert loaded.ok, loaded.diagnostics
    return [guest.ref.name for guest in loaded.declared.guests]


def test_a_directory_is_searched_without_hidden_and_foreign_directories(source: Path) -> None:
    for place in ("a.yaml", "deep/er/b.yml", ".hidden/c.yaml", ".d.yaml", "node_modules/e.yaml", "f.txt", "g.yaml.bak"):
        file = source / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(GUEST % file.name.split(".")[-2])
    assert names(source) == ["a", "b"]


def test_a_file_that_is_named_twice_is_read_once(source: Path) -> None:
    (source / "a.yaml").write_text(GUEST % "a")
    assert names(source, source / "a.yaml", source) == ["a"]


def test_links_in_a_circle_end(source: Path) -> None:
    (source / "a.yaml").write_text(GUEST % "a")
    (source / "loop").symlink_to(source)
    assert names(source) == ["a"]


def test_a_link_to_nowhere_is_an_error(source: Path) -> None:
    (source / "a.yaml").symlink_to(source / "gone.yaml")
    assert codes(source) == [("error", "NotFound")]
    assert "leads nowhere" in load([source]).diagnostics[0].summary


def test_several_documents_some_empty(source: Path) -> None:
    (source / "a.yaml").write_text("---\n# nothing\n---\n" + GUEST % "a" + "---\n---\n" + GUEST % "b" + "...\n")
    assert names(source) == ["a", "b"]


def test_standard_input(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = CLUSTER + "---\n" + GUEST % "a" + "x: 1\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    loaded = load(["-"])
    assert [str(item.location) for item in loaded.diagnostics] == ["<stdin>:12:1"]


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(source: Path) -> None:
    text = (GUEST % "a").replace("\n", "\r\n") + "▸x: 1\r\n"
    (source / "a.yaml").write_bytes(b"\xef\xbb\xbf" + text.replace("▸", "").encode())
    found = load([source]).diagnostics
    assert [(item.code, str(item.location)) for item in found] == [("UnknownField", f"{source}/a.yaml:5:1")]


@pytest.mark.parametrize(
    ("content", "code", "line", "column"),
    [
        (b"a: 1\nb: \xff\n", "NotUTF8", 2, 4),
        ("a: 1\n".encode("utf-16"), "NotUTF8", 1, 1),
        (b"a: 1\nb: x\x00y\n", "BadCharacter", 2, 5),
        ("a: x\u2028y\n".encode(), "BadCharacter", 1, 5),
    ],
)
def test_bytes_that_are_not_text(source: Path, content: bytes, code: str, line: int, column: int) -> None:
    (source / "a.yaml").write_bytes(content)
    (found,) = load([source]).diagnostics
    assert found.location is not None
    assert (found.code, found.location.line, found.location.column) == (code, line, column)


def test_a_file_that_is_too_large(source: Path) -> None:
    with (source / "a.yaml").open("wb") as file:
        file.truncate(40 << 20)
    assert codes(source) == [("error", "TooLarge")]


def test_a_document_with_too_many_values(source: Path) -> None:
    (source / "a.yaml").write_text(GUEST % "a" + "x: [" + "1," * 30_000 + "]\n")
    assert codes(source) == [("error", "TooLarge")]


def test_a_misspelt_path_gets_its_nearest_neighbour(source: Path) -> None:
    (found,) = load([source / "clustr.yaml"]).diagnostics
    assert (found.code, found.detail) == ("NotFound", f"Did you mean {source / 'cluster.yaml'}?")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(source: Path) -> None:
    (source / "a.yaml").write_text(GUEST % "a")
    (source / "a.yaml").chmod(0)
    assert codes(source) == [("error", "Unreadable")]


def test_an_empty_directory_declares_nothing_and_says_so(tmp_path: Path) -> None:
    assert codes(tmp_path) == [("error", "NoManifests")]


FOREIGN = [
    "- hosts: all\n  become: yes\n",
    "just text\n",
    "services:\n  web: {image: nginx, restart: no}\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
    "apiVersion: cluster.x-k8s.io/v1beta1\nkind: Cluster\nmetadata: {name: x}\nspec: {}\n",
    "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: x}\nspec: {}\n",
    "theme: !!python/name:material.theme\n",
]


@pytest.mark.parametrize("text", FOREIGN)
def test_other_yaml_in_the_repository_is_left_out_with_a_note(source: Path, text: str) -> None:
    (source / "other.yaml").write_text(text)
    loaded = load([source])
    assert [(item.severity, item.code) for item in loaded.diagnostics] == [("info", "NotAManifest")]
    assert loaded.files == (str(source / "cluster.yaml"),)


@pytest.mark.parametrize("text", FOREIGN)
def test_other_yaml_that_was_named_is_an_error(source: Path, text: str) -> None:
    (source / "other.yaml").write_text(text)
    assert codes(source / "other.yaml") == [("error", "NotAManifest")]


@pytest.mark.parametrize(
    "text",
    [
        "apiversion: innkeeper.dev/v1alpha1\nkind: Container\nmetadata: {name: a}\nspec: {}\n",
        "apiVersion: innkeeper.dev/v1alpha1\nKind: Container\nmetadata: {name: a}\nspec: {}\n",
        "apiVersion: inkeeper.dev/v1alpha1\nkind: Container\nmetadata: {name: a}\nspec: {}\n",
        "kind: Contaner\nmetadata: {name: a}\n",
        "metadata: {name: a}\nspec: {}\n",
        "apiVersion: innkeeper.dev/v1alpha1\n",
    ],
)
def test_what_could_be_ours_with_a_slip_is_never_left_out(source: Path, text: str) -> None:
    (source / "a.yaml").write_text(text)
    assert ("error", "NotAManifest") not in codes(source)
    assert not load([source]).ok


def test_nothing_is_left_out_after_broken_syntax(source: Path) -> None:
    (source / "a.yaml").write_text(GUEST % "a" + "---\nb: [\n---\n" + GUEST % "c")
    loaded = load([source])
    assert [guest.ref.name for guest in loaded.declared.guests] == ["a"]
    assert [(item.code, str(item.location)) for item in loaded.diagnostics] == [("Syntax", f"{source}/a.yaml:7:1")]


def test_a_slip_in_the_head_does_not_hide_those_below(source: Path) -> None:
    (source / "a.yaml").write_text((GUEST % "Web_1").replace("{}", "{memory: 512, vmid: 1}") + "sepc: {}\n")
    assert [code for _, code in codes(source)] == ["BadName", "BadQuantity", "OutOfRange", "UnknownField"]
