"""Writes the pages and pictures that come from the code: `make docs`. With `--check` it only says what is out of date.

A page by hand may hold parts by machine, between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

import difflib
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import api_page
import crd_page
import diagnostic_pages
import plan_picture
import reference_pages

from innkeeper.manifests.schema import json_schema
from innkeeper.operator import crds
from innkeeper.settings import docs as changes

ROOT = Path(__file__).resolve().parents[1]
_PART = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

PARTS: Mapping[str, Callable[[], str]] = {
    "commands": reference_pages.commands,
    "metadata": lambda: reference_pages.fields("metadata"),
    "cluster": lambda: reference_pages.fields("Cluster"),
    "container": lambda: reference_pages.fields("Container"),
    "virtual-machine": lambda: reference_pages.fields("VirtualMachine"),
    "profile": lambda: reference_pages.fields("Profile"),
    "image": lambda: reference_pages.fields("Image"),
    "application": lambda: reference_pages.fields("Application"),
    "source": lambda: reference_pages.fields("Source"),
    "server": lambda: reference_pages.fields("Server"),
    "api": api_page.routes,
    "pvesim-methods": reference_pages.methods,
    "diagnostics": diagnostic_pages.diagnostics,
    "conditions": diagnostic_pages.conditions,
    "crds": crd_page.kinds,
}


def generated() -> dict[Path, str]:
    """Every file that is made, with its text."""
    docs = ROOT / "docs"
    found = {
        docs / "reference/changes.md": changes.page(),
        ROOT / "deploy/helm/innkeeper/crds/crds.yaml": f"# innkeeper crds\n{crds.text()}",
        docs / "schema/innkeeper.json": json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n",
    }
    found |= {docs / "images" / name: text for name, text in plan_picture.pictures().items()}
    for page in sorted(docs.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if page not in found and _PART.search(text):
            found[page] = _PART.sub(lambda part: f"{part[1]}\n{PARTS[part['name']]().strip()}\n\n{part[3]}", text)
    return found


def main() -> None:
    """Exit status 1 where `--check` finds a file that is not as it would be written."""
    stale = 0
    for path, text in generated().items():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == text:
            continue
        name = str(path.relative_to(ROOT))
        if "--check" in sys.argv[1:]:
            stale += 1
            sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), text.splitlines(True), name, "generated"))
            print(f"\n{name} is out of date: run `make docs`.")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"{name} written")
    sys.exit(1 if stale else 0)


if __name__ == "__main__":
    main()
