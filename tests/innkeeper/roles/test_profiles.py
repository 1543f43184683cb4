"""The shipped profiles: each declares what the portal shows, and is complete for a guest that names nothing else."""

from pathlib import Path

import pytest
import yaml

from innkeeper.configure.roles import BUNDLED

PROFILES = sorted((BUNDLED.parent / "profiles").glob("*.yaml"))
PUBLIC = {"static-website": True, "generic-service": False, "monitoring-node": False, "web-app": True}


def test_all_are_there() -> None:
    assert {path.stem for path in PROFILES} == set(PUBLIC)


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_profile_says_what_may_be_asked_for(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    spec = document["spec"]
    assert document["metadata"]["name"] == path.stem
    assert {"description", "supportedKinds", "defaultPackages", "postCreateActions"} <= set(spec)
    assert (spec["allowPublicExposure"], spec["allowDomain"]) == (PUBLIC[path.stem], PUBLIC[path.stem])
    for call in spec["defaults"]["configure"]["roles"]:
        assert (BUNDLED / call["role"]).is_dir()
