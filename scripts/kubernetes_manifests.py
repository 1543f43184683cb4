"""Write the plain manifests from the chart (`make docs` writes its custom resource definitions).

    python scripts/kubernetes_manifests.py          writes deploy/kubernetes; --check only says what is not current

It needs helm: python scripts/kubernetes_parts.py builds it.
"""

import subprocess
import sys
from pathlib import Path

from kubernetes_parts import found

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "helm" / "innkeeper"
NAMESPACE = "innkeeper-system"
_HEAD = """# From the chart with its default values: python scripts/kubernetes_manifests.py
apiVersion: v1
kind: Namespace
metadata:
  name: innkeeper-system
"""


def files(helm: Path) -> dict[Path, str]:
    """What is to be written, by its place."""
    command = [str(helm), "template", "innkeeper", str(CHART), "--namespace", NAMESPACE, "--no-hooks"]
    plain = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    plain = plain.replace("managed-by: Helm", "managed-by: kubectl")
    return {ROOT / "deploy" / "kubernetes" / "operator.yaml": _HEAD + plain}


def main() -> None:
    helm = found().get("helm")
    if helm is None:
        sys.exit("needs: helm: python scripts/kubernetes_parts.py")
    stale = {path: text for path, text in files(helm).items() if not path.exists() or path.read_text() != text}
    for path, text in stale.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if "--check" not in sys.argv:
            path.write_text(text)
        print(path.relative_to(ROOT))
    if stale and "--check" in sys.argv:
        sys.exit("these are not as they would be written now: python scripts/kubernetes_manifests.py")


if __name__ == "__main__":
    main()
