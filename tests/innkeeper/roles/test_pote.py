"""The Python case: virtual environment, database, migrations, cron, mail settings, a private key for the repository."""

import subprocess

from tests.innkeeper.roles.lab import EXAMPLES, Lab


def test_a_python_application_with_its_database_and_jobs(lab: Lab) -> None:
    guest, repository = lab.create("pote"), lab.repository("pote", EXAMPLES / "pote/app")
    roles = [
        (
            "python_app",
            {
                "python_app_name": "pote",
                "python_app_repository": repository.url,
                "python_app_migrate": "python manage.py migrate",
                "python_app_start": "python -m pote.serve",
                "python_app_database": {"name": "pote", "user": "pote", "password": "s3cret"},
                "python_app_smtp": {"host": "mail.example.org", "port": 587, "from": "pote@example.org"},
                "python_app_cron": [
                    {"name": "collect", "schedule": "* * * * *", "command": "python -m pote.collect && date +%Y"}
                ],
            },
        )
    ]
    guest.configure([("base", {})])
    assert guest.configure(roles)
    assert guest.configure(roles) == []
    assert "<h1>Prices</h1>" in guest.get(8000)[1]
    collected = "for i in $(seq 70); do journalctl -q -t pote-collect | grep -q 20.. && exit; sleep 1; done; exit 1"
    guest.shell(collected)
    assert "<li>LODGE" in guest.get(8000)[1]
    assert {"SMTP_HOST=mail.example.org", "SMTP_PORT=587"} <= set(
        guest.shell("tr '\\0' '\\n' < /proc/$(systemctl show -P MainPID pote)/environ").splitlines()
    )

    changed = [
        ("python_app", {**roles[0][1], "python_app_database": {"name": "pote", "user": "pote", "password": "other"}})
    ]
    assert "postgresql : Make the databases" in guest.configure(changed)
    assert "<li>LODGE" in guest.get(8000)[1], "the same data with the new password"
    assert guest.configure(changed) == []


def test_a_private_repository_is_cloned_with_its_key(lab: Lab) -> None:
    """The server is the guest itself, with a user who may do nothing but be cloned from."""
    guest, repository = lab.create("private"), lab.repository("private", EXAMPLES / "pote/app")
    guest.configure([("base", {})])
    key = lab.folder / "deploy"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    guest.shell(
        "apt-get install -qq -y git >/dev/null; useradd -m -s /usr/bin/git-shell git;"
        f"git clone -q --bare {repository.url} /home/git/pote.git; mkdir /home/git/.ssh;"
        f"echo '{key.with_suffix('.pub').read_text().strip()}' > /home/git/.ssh/authorized_keys;"
        "chown -R git: /home/git"
    )
    variables = {
        "release_repository": "git@127.0.0.1:pote.git",
        "release_home": "/srv/private",
        "release_script": "/usr/local/bin/deploy_private.sh",
    }
    played = guest.play([("release", variables)])
    assert "cannot be read" in played.failure
    assert "Permission denied" in played.failure
    assert "No version is running" in played.failure
    with_key = [("release", {**variables, "release_key": key.read_text()})]
    assert "release : Deploy" in guest.configure(with_key)
    assert guest.configure(with_key) == []
    assert guest.shell("stat -c '%a %U' /srv/private/deploy_key").strip() == "600 root"
