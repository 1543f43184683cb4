"""Whatever fits the OpenAPI document, and much that does not, sent by every role: nothing breaks and nothing slips."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from innkeeper.model.jobs import Request
from innkeeper.model.records import ROLES, Role
from innkeeper.web.deps import Least
from tests.innkeeper.web.serving import serving

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 4
STREAMS = ("/api/v1/jobs/{job}/logs/follow",)
FAR = 1000
"""Added to the numbers of users and tokens: those that ask must stay."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """A portal in a thread of its own: its address, and a token of each role."""
    ready: Future[tuple[str, dict[str, str]]] = Future()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def run() -> None:
        folder: Path = tmp_path_factory.mktemp("schema")
        async with serving(folder) as portal:
            tokens: dict[str, str] = {}
            for role in ROLES:
                user = await portal.user(role, role)
                tokens[role] = (await portal.accounts.add_token(user, "fuzz", role))[1]
            for _ in range(3):
                job = await portal.store.add_job(Request("sync", "lab"))
                await portal.store.log(job.id, "info", "a line")
            ready.set_result((portal.url, tokens))
            await ended.wait()

    thread = Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    yield ready.result(30)
    loop.call_soon_threadsafe(ended.set)
    thread.join()
    loop.close()


@pytest.mark.parametrize("role", ROLES)
def test_nothing_breaks_and_nothing_slips(server: tuple[str, dict[str, str]], role: Role) -> None:
    url, tokens = server
    headers = {"Authorization": f"Bearer {tokens[role]}"}
    operations = [result.ok() for result in schema_of(url).get_all_operations() if isinstance(result, Ok)]
    assert len(operations) > 35
    for operation in operations:
        if operation.path in STREAMS:
            continue
        attack(operation, operation.as_strategy(), role, headers)
        # Whoever may do everything gets furthest with what does not fit.
        if role == "admin" and (list(operation.iter_parameters()) or operation.body):
            attack(operation, operation.as_strategy(generation_mode=GenerationMode.NEGATIVE), role, headers)


def schema_of(url: str) -> Any:
    return schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json")


def attack(operation: Any, cases: Any, role: Role, headers: dict[str, str]) -> None:
    least: Least = operation.definition.raw["x-least-role"]
    allowed = least == "anyone" or ROLES.index(role) >= ROLES.index(least)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def one(case: Any) -> None:
        for name in {"user", "token"} & set(case.path_parameters or {}):
            if isinstance(case.path_parameters[name], int):
                case.path_parameters[name] += FAR
        answer = case.call(headers=headers)
        case.validate_response(answer, checks=CHECKS)
        status, what = answer.status_code, f"{case.method} {case.path} as {role}"
        if case.meta.generation.mode is GenerationMode.NEGATIVE:
            # What is no JSON at all, no path of ours, or has no token, is told so before anybody's role is asked.
            assert allowed or status in (400, 401, 403, 404, 405), f"{what}: {status}"
        else:
            assert status != 401 if allowed else status == 403, f"{what}: {status}"

    one()
