"""Secrets come from the environment or a file; what is wrong with them is told without them."""

from pathlib import Path

import pytest

from innkeeper.engine.errors import Stalled
from innkeeper.model.objects import Credentials
from innkeeper.proxmox.credentials import Login, Token, resolve


def parse(**fields: object) -> Credentials:
    return Credentials.model_validate(fields)


def test_a_token_from_the_environment() -> None:
    found = resolve(parse(tokenID="a@pve!b", tokenSecret={"env": "T"}), Path("/"), {"T": " s3cret\n"})
    assert isinstance(found, Token)
    assert (found.user, found.secret.get_secret_value()) == ("a@pve!b", "s3cret")
    assert "s3cret" not in repr(found)


def test_a_password_from_a_file_beside_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("hunter2\n")
    found = resolve(parse(username="root@pam", password={"file": "pw"}), tmp_path, {})
    assert isinstance(found, Login)
    assert found.password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize("line", ["a@pve!b=s3cret", "# mine\nPVEAPIToken=a@pve!b=s3cret\n\n"])
def test_a_credentials_file(tmp_path: Path, line: str) -> None:
    (tmp_path / "token").write_text(line)
    found = resolve(parse(file="token"), tmp_path, {})
    assert isinstance(found, Token)
    assert (found.id, found.secret.get_secret_value()) == ("a@pve!b", "s3cret")


@pytest.mark.parametrize(
    ("fields", "environ", "said"),
    [
        ({"tokenID": "a@pve!b", "tokenSecret": {"env": "T"}}, {}, "environment variable T is not set"),
        ({"tokenID": "a@pve!b", "tokenSecret": {"env": "T"}}, {"T": " "}, "environment variable T is empty"),
        ({"tokenID": "a@pve!b", "tokenSecret": {"env": "T"}}, {"T": "canary\nx"}, "T does not hold one line"),
        ({"username": "a@pve", "password": {"file": "nosuch"}}, {}, "nosuch: No such file"),
        ({"file": "bad"}, {}, "bad does not hold a token"),
    ],
)
def test_what_is_missing_is_named_and_never_shown(
    tmp_path: Path, fields: dict[str, object], environ: dict[str, str], said: str
) -> None:
    (tmp_path / "bad").write_text("canary")
    with pytest.raises(Stalled) as caught:
        resolve(parse(**fields), tmp_path, environ)
    assert said in str(caught.value)
    assert "canary" not in str(caught.value)
