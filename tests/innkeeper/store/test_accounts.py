"""Accounts: hashes only, no way to lock everybody out, one first admin."""

import asyncio
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from innkeeper.control.errors import NotFound
from innkeeper.control.memory import Accounts
from innkeeper.engine.errors import Conflict, Stalled
from innkeeper.store import open_store
from tests.innkeeper.store.conftest import Clock

PASSWORD = "correct horse"


async def test_a_user_signs_in_by_name_without_case(accounts: Accounts, clock: Clock) -> None:
    ada = await accounts.add_user("Ada", "operator", password=PASSWORD)
    assert (ada.name, ada.role, ada.disabled) == ("Ada", "operator", False)
    assert await accounts.by_password("ada", PASSWORD) == ada == await accounts.user("ADA")
    assert await accounts.by_password("ada", PASSWORD + " ") is None
    assert await accounts.by_password("bob", PASSWORD) is None
    assert await accounts.users() == (ada,)


async def test_names_and_identities_are_taken_once(accounts: Accounts) -> None:
    await accounts.add_user("ada", "viewer", subject="https://id.example|1")
    for name, subject in (("ADA", ""), ("ａｄａ", ""), ("bob", "https://id.example|1")):
        with pytest.raises(Conflict, match="already"):
            await accounts.add_user(name, "viewer", subject=subject)
    await accounts.add_user("bob", "viewer")
    await accounts.add_user("eve", "viewer")  # no identity is no shared identity
    found = await accounts.by_subject("https://id.example|1")
    assert found is not None
    assert found.name == "ada"
    assert await accounts.by_subject("") is None
    assert await accounts.by_password("ada", "") is None, "who comes from a provider has no password to guess"


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 101, "\u202eada"])
async def test_names_that_nobody_can_read_are_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(Stalled, match="cannot be a user's name"):
        await accounts.add_user(name, "viewer")


@pytest.mark.parametrize(("password", "why"), [("short", "too short"), ("x" * 1025, "too long")])
async def test_bad_passwords_are_refused(accounts: Accounts, password: str, why: str) -> None:
    with pytest.raises(Stalled, match=why):
        await accounts.add_user("ada", "viewer", password=password)
    assert await accounts.by_password("ada", password) is None


async def test_an_unknown_name_costs_as_much_as_a_wrong_password(accounts: Accounts) -> None:
    await accounts.add_user("ada", "viewer", password=PASSWORD)
    gone = await accounts.add_user("eve", "viewer", password=PASSWORD)
    await accounts.update_user(gone.id, disabled=True)
    await accounts.by_password("warm", "up the first")

    async def takes(name: str) -> float:
        begun = time.process_time()
        assert await accounts.by_password(name, "wrong password") is None
        return time.process_time() - begun

    known, unknown, disabled = [
        statistics.median([await takes(name) for _ in range(3)]) for name in ("ada", "nobody", "eve")
    ]
    assert 0.5 < unknown / known < 2
    assert 0.5 < disabled / known < 2


async def test_a_session_lives_until_its_time(accounts: Accounts, clock: Clock) -> None:
    ada = await accounts.add_user("ada", "viewer", password=PASSWORD)
    secret, other = await accounts.open_session(ada.id, 3600), await accounts.open_session(ada.id, 3600)
    session = await accounts.session(secret)
    assert session is not None
    assert session.user.name == "ada"
    again, beside = await accounts.session(secret), await accounts.session(other)
    assert again is not None
    assert beside is not None
    assert again.csrf == session.csrf != beside.csrf
    assert secret not in session.csrf
    clock.pass_by(seconds=3601)
    assert await accounts.session(secret) is None
    with pytest.raises(NotFound):
        await accounts.open_session(4711, 60)
    fresh = await accounts.open_session(ada.id, 60)
    await accounts.close_session(fresh)
    assert await accounts.session(fresh) is None
    assert await accounts.session("guess") is None


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({"password": "another horse"}, True),
        ({"role": "viewer"}, True),
        ({"disabled": True}, True),
        ({"role": "admin"}, False),
        ({"disabled": False}, False),
    ],
    ids=str,
)
async def test_what_ends_sessions(accounts: Accounts, change: dict[str, object], ends: bool) -> None:
    ada = await accounts.add_user("ada", "operator", password=PASSWORD)
    secret = await accounts.open_session(ada.id, 3600)
    await accounts.update_user(ada.id, **change)  # type: ignore[arg-type]
    assert (await accounts.session(secret) is None) is ends


async def test_a_new_password_replaces_the_old(accounts: Accounts) -> None:
    ada = await accounts.add_user("ada", "viewer", password=PASSWORD)
    await accounts.update_user(ada.id, password="another horse")
    assert await accounts.by_password("ada", PASSWORD) is None
    assert await accounts.by_password("ada", "another horse") is not None


async def test_a_token_is_never_above_its_user(accounts: Accounts, clock: Clock) -> None:
    await accounts.add_user("root", "admin")
    ada = await accounts.add_user("ada", "operator")
    token, secret = await accounts.add_token(ada.id, "laptop", "admin", 3600)
    assert (token.role, secret.startswith("ink_"), token.used_at) == ("operator", True, None)
    found = await accounts.by_token(secret)
    assert found is not None
    assert (found[0].name, found[1]) == ("ada", "operator")
    assert (await accounts.tokens(ada.id))[0].used_at is not None
    await accounts.update_user(ada.id, role="viewer")
    assert (await accounts.by_token(secret) or ("", ""))[1] == "viewer"
    await accounts.update_user(ada.id, role="admin")
    assert (await accounts.by_token(secret) or ("", ""))[1] == "operator"
    await accounts.update_user(ada.id, disabled=True)
    assert await accounts.by_token(secret) is None
    await accounts.update_user(ada.id, disabled=False)
    clock.pass_by(seconds=3601)
    assert await accounts.by_token(secret) is None
    endless, secret = await accounts.add_token(ada.id, "ci", "viewer")
    await accounts.revoke_token(endless.id)
    assert await accounts.by_token(secret) is None
    assert [item.name for item in await accounts.tokens()] == ["laptop"]


async def test_the_last_admin_stays(accounts: Accounts) -> None:
    ada = await accounts.add_user("ada", "admin", password=PASSWORD)
    bob = await accounts.add_user("bob", "admin")
    await accounts.update_user(bob.id, disabled=True)
    attempts: list[Callable[[], object]] = [
        lambda: accounts.update_user(ada.id, role="operator"),
        lambda: accounts.update_user(ada.id, disabled=True),
        lambda: accounts.remove_user(ada.id),
    ]
    for attempt in attempts:
        with pytest.raises(Conflict, match="ada is the last admin"):
            await attempt()  # type: ignore[misc]
    await accounts.remove_user(bob.id)
    with pytest.raises(NotFound):
        await accounts.remove_user(bob.id)


async def test_two_admins_who_demote_each_other_at_once_leave_one(database: str, accounts: Accounts) -> None:
    ada, bob = [await accounts.add_user(name, "admin") for name in ("ada", "bob")]
    store, other = await open_store(database)
    done = await asyncio.gather(
        accounts.update_user(ada.id, role="viewer"), other.remove_user(bob.id), return_exceptions=True
    )
    await store.close()
    assert sum(isinstance(item, Conflict) for item in done) == 1
    assert [user.role for user in await accounts.users()].count("admin") == 1


async def test_the_first_admin_is_made_once(database: str, accounts: Accounts) -> None:
    secret = await accounts.setup_secret()
    assert secret is not None
    assert await accounts.claim_setup("guess", "eve", PASSWORD) is None
    store, other = await open_store(database)
    made = await asyncio.gather(
        *(each.claim_setup(secret, f"a{number}", PASSWORD) for number, each in enumerate((accounts, other) * 3))
    )
    await store.close()
    [first] = [user for user in made if user is not None]
    assert first.role == "admin"
    assert await accounts.users() == (first,)
    assert await accounts.setup_secret() is None
    assert await accounts.claim_setup(secret, "late", PASSWORD) is None


async def test_a_user_made_another_way_ends_the_link(accounts: Accounts) -> None:
    secret = await accounts.setup_secret()
    assert secret is not None
    await accounts.add_user("ada", "admin")
    assert await accounts.claim_setup(secret, "eve", PASSWORD) is None


async def test_a_start_ends_the_link_before_it_but_not_another_replicas(
    database: str, accounts: Accounts, clock: Clock
) -> None:
    first, second = await accounts.setup_secret(), await accounts.setup_secret()
    assert first is not None
    assert second is not None
    found = await accounts.claim_setup(first, "ada", PASSWORD)
    if "://" in database:
        assert found is not None
    else:
        assert found is None
        assert await accounts.claim_setup(second, "ada", PASSWORD) is not None


async def test_no_secret_is_in_the_database(tmp_path: Path) -> None:
    store, accounts = await open_store(tmp_path)
    secrets = [await accounts.setup_secret()]
    ada = await accounts.add_user("ada", "admin", password=PASSWORD)
    secrets += [PASSWORD, await accounts.open_session(ada.id, 60), (await accounts.add_token(ada.id, "x", "viewer"))[1]]
    await store.close()
    engine = create_engine(f"sqlite:///{tmp_path}/innkeeper.db")
    with engine.connect() as connection:
        dump = "\n".join(connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]
        [kept] = connection.execute(text("SELECT password FROM users")).scalars()
    engine.dispose()
    assert kept.startswith("$argon2id$")
    for secret in secrets:
        assert secret is not None
        assert secret not in dump
