"""What a manifest means for the inside of its guest."""

from dataclasses import replace

import pytest

from innkeeper.engine.describe import insides, pinned
from innkeeper.engine.inside import Inside, Tracked
from innkeeper.model.objects import Guest
from tests.innkeeper.planner import worlds

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGb3hNoBcvUsBnCFLDsQ4bbq6GXZHYK4EAKJcGcAl2cV operator"
BASE = {"role": "base", "vars": {"base_timezone": "Europe/Oslo"}}
OS = {"role": "base_os", "vars": {"base_os_authorized_keys": ("another",)}}


def inside(guest: Guest) -> Inside:
    assert guest.spec.configure is not None
    directories = tuple(f"/roles/{call.role}" for call in guest.spec.configure.roles)
    (found,) = insides(worlds.declared(replace(guest, roles=directories)))
    return found


@pytest.mark.parametrize(
    "guest",
    [
        worlds.container("web", sshKeys=[KEY], configure={"roles": [BASE, {"role": "base_os"}, {"role": "web"}]}),
        worlds.machine(
            "web", cloudInit={"sshKeys": [KEY]}, configure={"roles": [BASE, {"role": "base_os"}, {"role": "web"}]}
        ),
    ],
    ids=lambda guest: guest.ref.kind,
)
def test_the_operator_is_let_in_by_the_keys_of_the_guest(guest: Guest) -> None:
    assert [call.variables for call in inside(guest).roles] == [
        {"base_timezone": "Europe/Oslo", "base_authorized_keys": [KEY]},
        {"base_os_authorized_keys": [KEY]},
        {},
    ]


def test_keys_that_a_role_is_given_win() -> None:
    guest = worlds.container("web", sshKeys=[KEY], configure={"roles": [OS]})
    assert inside(guest).roles[0].variables == OS["vars"]


def test_what_is_deployed_is_the_commit_that_was_planned_of_each_repository() -> None:
    calls = [
        {"role": "release", "vars": {"release_repository": "https://git.example.org/a.git"}},
        {"role": "web"},
        {
            "role": "release",
            "vars": {"release_repository": "https://git.example.org/c.git", "release_revision": "c"},
        },
        {"role": "release", "vars": {"release_repository": "https://git.example.org/b.git", "release_branch": "next"}},
    ]
    item = inside(worlds.container("web", configure={"roles": calls}))
    assert [(tracked.url[-5], tracked.branch) for tracked in item.tracked] == [("a", "main"), ("b", "next")]
    held = pinned(item, ["1" * 40, "2" * 40])
    found = [call.variables.get("release_revision") for call in held.roles]
    assert found == ["1" * 40, None, "c", "2" * 40]


@pytest.mark.parametrize("role", ["app_setup", "python_app", "release"])
def test_what_a_role_says_of_its_repository_is_said_of_the_branch_that_is_asked(role: str) -> None:
    said: dict[str, object] = {"repository": "git@git.example.org:a.git", "branch": "next"}
    said["known_hosts"] = "git.example.org ssh-rsa AAAA"
    said["key"] = {"secretRef": {"name": "env", "key": "KEY"}}
    guest = worlds.container(
        "web", configure={"roles": [{"role": role, "vars": {f"{role}_{name}": value for name, value in said.items()}}]}
    )
    (tracked,) = inside(guest).tracked
    assert tracked == Tracked("git@git.example.org:a.git", "next", said["key"], "git.example.org ssh-rsa AAAA")
