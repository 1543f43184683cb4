"""Calls that fit the OpenAPI document, and calls that do not: nothing breaks, and each role gets what is its."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from innkeeper.model.records import ROLES, Role
from innkeeper.web.deps import Least

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
STREAMS = ("/api/v1/jobs/{job}/logs/follow",)
FAR = 1000
"""Added to the numbers of users and tokens: those that ask must stay."""


@dataclass
class Seen:
    """Answers by method, path and status."""

    answers: dict[tuple[str, str, int], int] = field(default_factory=dict)

    def paths(self, status: int) -> set[str]:
        return {path for _, path, found in self.answers if found == status}


def fuzz(
    url: str, token: str, role: Role, examples: int, known: Mapping[str, tuple[object, ...]] | None = None
) -> Seen:
    """The whole API as one role. `known` are parameters of paths that exist: half of the calls are about those."""
    headers = {"Authorization": f"Bearer {token}"}
    schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    assert len(operations) > 35
    seen = Seen()
    for operation in operations:
        if operation.path in STREAMS:
            continue
        _attack(operation, operation.as_strategy(), role, headers, examples, known or {}, seen)
        # Whoever may do everything gets furthest with what does not fit.
        if role == "admin" and (list(operation.iter_parameters()) or operation.body):
            wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
            _attack(operation, wrong, role, headers, examples, {}, seen)
    return seen


def _attack(
    operation: Any,
    cases: Any,
    role: Role,
    headers: Mapping[str, str],
    examples: int,
    known: Mapping[str, tuple[object, ...]],
    seen: Seen,
) -> None:
    least: Least = operation.definition.raw["x-least-role"]
    allowed = least == "anyone" or ROLES.index(role) >= ROLES.index(least)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, aimed=st.booleans() if known else st.just(False), data=st.data())
    def one(case: Any, aimed: bool, data: st.DataObject) -> None:
        path = case.path_parameters or {}
        for name in path:
            if aimed and name in known:
                path[name] = data.draw(st.sampled_from(known[name]))
            elif name in ("user", "token") and isinstance(path[name], int):
                path[name] += FAR
        answer = case.call(headers=dict(headers))
        case.validate_response(answer, checks=CHECKS)
        status, what = answer.status_code, f"{case.method} {case.path} as {role}"
        key = (case.method, case.path, status)
        seen.answers[key] = seen.answers.get(key, 0) + 1
        if case.meta.generation.mode is GenerationMode.NEGATIVE:
            # What is no JSON at all, no path of ours, or has no token, is told so before anybody's role is asked.
            assert allowed or status in (400, 401, 403, 404, 405), f"{what}: {status}"
        elif allowed:
            assert status != 401 and "this needs" not in answer.text, f"{what}: {status} {answer.text}"
        else:
            assert status == 403 and "this needs" in answer.text, f"{what}: {status} {answer.text}"

    one()
