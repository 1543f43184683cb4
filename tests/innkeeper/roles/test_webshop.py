"""The webshop: deployed from git, a version after the other, and never replaced by one that does not work."""

from collections.abc import Iterator

import pytest

from tests.innkeeper.roles.lab import EXAMPLES, Guest, Lab, Repository

UGLY = 'Tom\'s "$HOME" `shop` \\ & 50 % # Söhne'
PASSWORD = "can'ary \"p$w\\d`#/ü %"
DEPLOY = "release : Deploy"


@pytest.fixture(scope="module")
def repository(lab: Lab) -> Repository:
    return lab.repository("webshop", EXAMPLES / "webshop/app")


@pytest.fixture(scope="module")
def guest(lab: Lab) -> Guest:
    return lab.create("webshop")


def shop(repository: Repository, **more: object) -> list[tuple[str, dict[str, object]]]:
    variables: dict[str, object] = {
        "app_setup_name": "webshop",
        "app_setup_repository": repository.url,
        "app_setup_database": {"name": "webshop", "user": "webshop", "password": PASSWORD},
        "app_setup_env": {"SHOP_TITLE": UGLY},
        "app_setup_health_timeout": 30,
    }
    return [("app_setup", variables | more)]


def heading(guest: Guest) -> str:
    status, page = guest.get(3000)
    assert status == 200, page
    assert "<td>Feather pillow</td><td>39.50 €</td>" in page, "from the database"
    return next(line for line in page.splitlines() if line.startswith("<h1>"))


def test_it_comes_up_from_nothing_and_a_second_run_changes_nothing(guest: Guest, repository: Repository) -> None:
    guest.configure([("base", {})])
    roles = shop(repository)
    assert DEPLOY in guest.configure(roles)
    assert heading(guest) == f"<h1>{UGLY}</h1>"
    assert guest.configure(roles) == []
    trial = guest.play(roles, "--check")
    assert (trial.status, trial.changed) == (0, [])
    places = guest.shell(
        "ls /srv/app/backend/server.js /srv/app/frontend/server.js; stat -c '%a %U %G' /srv/app/.env.prod"
    )
    assert places.splitlines()[-1] == "640 root config"


def test_the_password_is_in_no_log_and_on_no_command_line(guest: Guest, repository: Repository) -> None:
    loud = guest.play(shop(repository), "-vvv", "--diff")
    assert loud.status == 0
    assert "can'ary" not in loud.output
    found = guest.shell(
        "journalctl --no-pager | grep -c can.ary || true; grep -rls can.ary /var/log /tmp /root || true"
    )
    assert found.split() == ["0"]


def test_a_new_commit_is_deployed(guest: Guest, repository: Repository) -> None:
    page = (EXAMPLES / "webshop/app/frontend/src/page.html").read_text()
    repository.commit("New", frontend___src___page__html=page.replace("<h1>", "<h1>New: "))
    trial = guest.play(shop(repository), "--check")
    assert (trial.status, trial.changed) == (0, [DEPLOY])
    assert heading(guest) == f"<h1>{UGLY}</h1>"
    assert guest.configure(shop(repository)) == [DEPLOY]
    assert heading(guest) == f"<h1>New: {UGLY}</h1>"


@pytest.fixture
def restored(repository: Repository) -> Iterator[None]:
    before = repository.run("rev-parse", "HEAD")
    yield
    repository.run("rm", "-rq", ".")
    repository.run("checkout", before, "--", ".")
    repository.commit("As before")


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    ("files", "reasons"),
    [
        (
            {"backend___migrations___002__sql": "SELECT nonsense;"},
            ["was not built", "'migrate the database'", "nonsense", "keeps running"],
        ),
        (
            {"frontend___build__js": "syntax error"},
            ["was not built: the step 'build the frontend' failed", "keeps running"],
        ),
        (
            {"backend___server__js": "throw new Error('no soup')"},
            ["did not become healthy within 30 s", "no soup", "runs again"],
        ),
    ],
)
def test_a_failed_deploy_leaves_the_old_version_running_and_says_why(
    guest: Guest, repository: Repository, files: dict[str, str], reasons: list[str]
) -> None:
    before = guest.shell("cat /srv/app/current/revision").strip()
    repository.commit("Broken", **files)
    played = guest.play(shop(repository))
    assert played.status != 0
    assert [reason for reason in [*reasons, f"Version {before[:12]} of before"] if reason not in played.failure] == []
    assert heading(guest) == f"<h1>New: {UGLY}</h1>"
    assert guest.shell("cat /srv/app/current/revision").strip() == before


def test_a_branch_and_a_repository_that_are_not_there(guest: Guest, repository: Repository) -> None:
    played = guest.play(shop(repository, app_setup_branch="nope"))
    assert f"The branch nope is not in {repository.url}. Branches there: main" in played.failure
    played = guest.play(shop(repository, app_setup_repository=f"{repository.url}-not"))
    assert f"The repository {repository.url}-not cannot be read" in played.failure
    assert heading(guest)


def test_what_was_damaged_by_hand_is_mended(guest: Guest, repository: Repository) -> None:
    guest.configure(shop(repository))
    guest.shell(
        "echo damaged >> /srv/app/current/source/frontend/server.js; echo SPOILT=1 >> /srv/app/.env.prod;"
        "systemctl stop app-backend postgresql@15-main; rm /etc/systemd/system/app-frontend.service"
    )
    assert guest.get(3000)[0] == 502
    assert guest.configure(shop(repository)) == [
        "postgresql : Start the database clusters",
        "app_setup : Write the units",
        "app_setup : Restart what runs by an old unit",
        "release : Write the environment",
        DEPLOY,
    ]
    assert heading(guest)
    assert guest.configure(shop(repository)) == []


def test_a_bundle_serves_a_guest_that_does_not_reach_the_repository(guest: Guest, repository: Repository) -> None:
    commit = repository.commit("By hand", README__md="brought\n")
    bundle = repository.work.parent / "webshop.bundle"
    repository.run("bundle", "create", "--quiet", str(bundle), "main")
    roles = shop(repository, app_setup_repository="", app_setup_bundle=str(bundle), app_setup_revision=commit)
    assert guest.configure(roles) == ["release : Install the deploy script", DEPLOY]
    assert guest.configure(roles) == []
    assert guest.shell("cat /srv/app/current/source/README.md").strip() == "brought"
