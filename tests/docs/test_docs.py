"""The documentation is true: it is what the code says, its links lead somewhere, its examples load and run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml

from innkeeper.manifests.loading import load
from innkeeper.model.sources import Permission
from pvesim.cluster import seed
from pvesim.cluster.clock import Clock
from pvesim.faults import Faults
from tests.docs.pages import ROOT, Block, anchors, blocks, links, pages
from tests.docs.runner import Reader, matches

_CLUSTER = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {name: home}
spec: {endpoints: ["https://127.0.0.1:8006"], credentials: {file: token}}
"""
_SMALL = "apiVersion: innkeeper.dev/v1alpha1\nkind: Profile\nmetadata: {name: small}\nspec: {}\n"
_ALL = [block for page in pages() for block in blocks(page)]
_MANIFESTS = [
    block
    for block in _ALL
    if block.language == "yaml" and "innkeeper.dev/v1alpha1" in block.text and "kubernetes" not in block.words
]
_FOLLOWED = sorted({block.page for block in _ALL if block.language == "console" and "run" in block.words})


def _name(value: Block | Path) -> str:
    return str(value) if isinstance(value, Block) else str(value.relative_to(ROOT))


def test_generated_pages_are_what_the_code_says() -> None:
    command = [sys.executable, str(ROOT / "scripts/generate_docs.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", pages(), ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        if re.match(r"\w+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading; there are {sorted(anchors(target))}"


def test_every_page_is_reached_from_the_index() -> None:
    index = ROOT / "docs/README.md"
    reached = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)} | {index}
    decisions = ROOT / "docs/adr/README.md"
    reached |= {(decisions.parent / link).resolve() for link in links(decisions)}
    reached.add(ROOT / "docs/benchmarks.md")  # written by `make bench`
    missing = [page for page in (ROOT / "docs").rglob("*.md") if page not in reached]
    assert not missing, f"docs/README.md does not lead to {', '.join(map(_name, missing))}"


def test_every_permission_is_explained() -> None:
    text = (ROOT / "docs/how-to/run-a-server.md").read_text(encoding="utf-8")
    assert [name for name in get_args(Permission) if f"\n| `{name}` | " not in text] == []


@pytest.mark.parametrize("block", _MANIFESTS, ids=_name)
def test_manifests_load(block: Block, tmp_path: Path) -> None:
    """By itself, with a cluster and a profile where the text around it has them."""
    others = [_CLUSTER] if "kind: Cluster" not in block.text else []
    others += [_SMALL] if "profile: small" in block.text and "kind: Profile" not in block.text else []
    for need in set(re.findall(r"Container/([\w-]+)", block.text)):
        if f"metadata: {{name: {need}}}" not in block.text:
            others.append(_SMALL.replace("Profile", "Container").replace("small", need))
    (tmp_path / "page.yaml").write_text("\n---\n".join([block.text, *others]))
    (tmp_path / "flake.nix").write_text("{}")
    found = load([tmp_path], derive=lambda flake, output: f"/nix/store/{'0' * 32}-{output}.drv")
    wrong = [item for item in found.diagnostics if item.severity == "error"]
    assert bool(wrong) == ("broken" in block.words), wrong


@pytest.mark.parametrize("block", [block for block in _ALL if block.language == "yaml"], ids=_name)
def test_files_of_pvesim_load(block: Block, tmp_path: Path) -> None:
    if "seed" in block.words:
        seed.plant(yaml.safe_load(block.text), Clock(real=False))
    elif "faults" in block.words:
        file = tmp_path / "faults.yaml"
        file.write_text(block.text)
        nodes = [{"name": name} for name in ("pve1", "pve2", "pve3")]
        Faults(seed.plant(seed.DEFAULT | {"cluster": {"name": "sim"}, "nodes": nodes}, Clock(real=False)), file)
    elif "kubernetes" not in block.words:  # those are given to a real API server: tests/innkeeper/operator
        assert block in _MANIFESTS, f"{block}: neither a manifest, nor marked as a seed or faults of pvesim"


@pytest.mark.parametrize("page", _FOLLOWED, ids=_name)
def test_what_a_page_tells_to_type_works(page: Path, tmp_path: Path) -> None:
    for program in ("bash", "curl", "git", "jq", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"needs: {program}")
    Reader(tmp_path).follow(page)


def test_tests_that_a_page_names_exist() -> None:
    """Written as a link to the file, a colon, and the names of its tests."""
    named = re.findall(
        r"\[[^\]]*\]\((tests/[^)]*\.py)\): ((?:`test_\w+`(?:, )?)+)", (ROOT / "SECURITY.md").read_text("utf-8")
    )
    assert named
    for file, tests in named:
        defined = set(re.findall(r"def (test_\w+)", (ROOT / file).read_text("utf-8")))
        assert set(re.findall(r"`(\w+)`", tests)) <= defined, f"{file} has not all of {tests}"


def test_pages_speak_to_their_readers_only() -> None:
    for page in pages():
        found = re.search(r"/work/|/tmp/|\bissue \d|TODO|FIXME", page.read_text(encoding="utf-8"))
        assert found is None, f"{_name(page)}: {found[0]!r}"


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [
        ("a\nb", "a\nb\n", True),
        ("a\nb", "a\nc\nb\n", False),
        ("a\n…\nb", "a\nc\nd\nb\n", True),
        ("…\nb", "b\n", True),
        ("took … s", "took 3.1 s\n", True),
        ("took … s", "took 3.1\n", False),
        ("a", "", False),
    ],
)
def test_shown_output_is_compared(shown: str, said: str, same: bool) -> None:
    assert matches(shown, said) is same


def test_a_command_that_fails_is_noticed(tmp_path: Path) -> None:
    page = ROOT / "docs/README.md"
    with pytest.raises(AssertionError, match="ended with 3, not 0"):
        Reader(tmp_path)._block(Block(page, "console", ("run",), "$ (exit 3)\n", 1))
