"""The log: one JSON object a line, whoever wrote it, and nothing in it that opens a door."""

import io
import json
import logging

import structlog

SECRET = "canary-1f3c2a9"
TOKEN = f"ink_{SECRET}"


def lines(log: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_what_looks_like_a_secret_is_covered(log: io.StringIO) -> None:
    own = structlog.stdlib.get_logger("innkeeper.test")
    own.info("signed in", password=SECRET, headers={"Authorization": f"Bearer {SECRET}", "Accept": "text/html"})
    own.info("called", url=f"https://ops:{SECRET}@git.example.org/lab.git", nested=[{"api_key": SECRET}])
    own.warning(f"a token {TOKEN} was refused; PVEAPIToken=root@pam!full={SECRET}")
    own.info("request", path=f"/setup?secret={SECRET}&name=ada", csrf_token=SECRET)
    logging.getLogger("some.library").error("GET /cb?code=%s&state=%s with Bearer %s", SECRET, SECRET, SECRET)
    try:
        raise RuntimeError(f"the answer to Authorization: Bearer {SECRET} was {TOKEN}")
    except RuntimeError:
        own.exception("it broke")
    written = log.getvalue()
    assert SECRET not in written
    assert len(lines(log)) == 6 and "[hidden]" in written
    assert {"Accept": "text/html"}.items() <= dict(lines(log)[0]["headers"]).items()  # type: ignore[call-overload]


def test_a_traceback_holds_no_values(log: io.StringIO) -> None:
    def failing() -> None:
        password = SECRET
        raise ValueError(f"{len(password)} characters are not enough")

    try:
        failing()
    except ValueError:
        structlog.stdlib.get_logger("innkeeper.test").exception("it broke")
    assert SECRET not in log.getvalue()
    assert "failing" in str(lines(log)[0]["exception"])


def test_a_line_is_a_line(log: io.StringIO) -> None:
    logging.getLogger("some.library").info('a name\n{"event": "forged"}')
    assert [line["event"] for line in lines(log)] == ['a name\n{"event": "forged"}']
