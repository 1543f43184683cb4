"""Whether what runs in a guest answers: TCP and HTTP from here, systemd and commands from inside."""

import asyncio
import contextlib
import shlex
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from innkeeper.configure.reach import Answer, Entered, said
from innkeeper.configure.scrub import Scrubber
from innkeeper.engine.errors import EngineError
from innkeeper.engine.inside import CheckResult
from innkeeper.model.inside import Check, HttpCheck

_LONGEST_BODY = 1 << 20
_LONGEST_DETAIL = 300


class Health:
    """The checks of one guest. `enter` opens a way inside, which is used once for all checks that need it.

    `tunnelled`: the guest's address is only reached from its node, so that TCP and HTTP go through there too.
    """

    def __init__(
        self,
        address: str | None,
        enter: AbstractAsyncContextManager[Entered],
        scrub: Scrubber,
        *,
        root: bool,
        tunnelled: bool,
    ) -> None:
        self._address = address
        self._enter = enter
        self._scrub = scrub
        self._root = root
        self._tunnelled = tunnelled

    async def results(self, checks: Sequence[Check]) -> tuple[CheckResult, ...]:
        """One result for each check, in their order; all run at once."""
        inside = self._tunnelled or any(check.systemd is not None or check.command is not None for check in checks)
        async with contextlib.AsyncExitStack() as stack:
            entered: Entered | str = "not needed"
            if inside:
                try:
                    entered = await stack.enter_async_context(self._enter)
                except EngineError as error:
                    entered = str(error)
            return tuple(await asyncio.gather(*(self._one(check, entered) for check in checks)))

    async def _one(self, check: Check, entered: Entered | str) -> CheckResult:
        try:
            async with asyncio.timeout(check.timeout):
                ok, detail = await self._look(check, entered)
        except TimeoutError:
            ok, detail = False, f"no answer within {check.timeout:g} seconds"
        except OSError as error:
            ok, detail = False, said(error)
        return CheckResult(check.title, ok, self._scrub(detail)[:_LONGEST_DETAIL])

    async def _look(self, check: Check, entered: Entered | str) -> tuple[bool, str]:
        if check.tcp is not None:
            return await self._tcp(check.tcp, entered)
        if check.http is not None:
            return await self._http(check.http, check.timeout, entered)
        if isinstance(entered, str):
            return False, entered
        if check.systemd is not None:
            words = ["systemctl", "show", "-p", "LoadState", "-p", "ActiveState", "-p", "SubState", "-p", "Result"]
            return _unit(await entered.run(shlex.join([*words, "--", check.systemd]), check.timeout))
        words = ["/bin/sh", "-c", check.command or ""]
        return _command(await entered.run(shlex.join(words if self._root else ["sudo", "-n", *words]), check.timeout))

    async def _tcp(self, port: int, entered: Entered | str) -> tuple[bool, str]:
        async with self._at(port, entered) as (host, local):
            if host is None:
                return False, str(local)
            _, writer = await asyncio.open_connection(host, int(local))
            writer.close()
        return True, f"port {port} is open"

    async def _http(self, check: HttpCheck, timeout: float, entered: Entered | str) -> tuple[bool, str]:
        async with self._at(check.port, entered) as (host, local):
            if host is None:
                return False, str(local)
            return await _fetched(check, host, int(local), self._address or "", timeout)

    @asynccontextmanager
    async def _at(self, port: int, entered: Entered | str) -> AsyncIterator[tuple[str | None, int | str]]:
        """Host and port to connect to; or None and why there are none."""
        if self._address is None:
            yield None, "the guest has no address that is known"
        elif not self._tunnelled:
            yield self._address, port
        elif isinstance(entered, str):
            yield None, entered
        else:
            listener = await entered.connection.forward_local_port("127.0.0.1", 0, "127.0.0.1", port)
            try:
                yield "127.0.0.1", listener.get_port()
            finally:
                listener.close()


async def _fetched(check: HttpCheck, host: str, port: int, named: str, timeout: float) -> tuple[bool, str]:
    import httpx2

    authority = f"[{host}]" if ":" in host else host
    name = f"[{named}]" if ":" in named else named
    usual = {"http": 80, "https": 443}[check.scheme]
    headers = {"Host": name if check.port == usual else f"{name}:{check.port}", "User-Agent": "innkeeper"}
    try:
        # Asked by its address, a guest's certificate never fits; nothing secret is sent.
        async with (
            httpx2.AsyncClient(verify=False, timeout=timeout, trust_env=False) as client,
            client.stream("GET", f"{check.scheme}://{authority}:{port}{check.path}", headers=headers) as response,
        ):
            body = b""
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _LONGEST_BODY:
                    break
    except httpx2.HTTPError as error:
        return False, str(error) or type(error).__name__
    return _page(check, response.status_code, body.decode(errors="replace"))


def _page(check: HttpCheck, status: int, text: str) -> tuple[bool, str]:
    if status != check.status:
        return False, f"answered {status} instead of {check.status}: {_first_line(text)}"
    if check.contains is not None and check.contains not in text:
        return False, f"answered {status}, but the page does not hold {check.contains!r}: {_first_line(text)}"
    return True, f"answered {status}"


def _unit(answer: Answer) -> tuple[bool, str]:
    state = dict(line.split("=", 1) for line in answer.output.splitlines() if "=" in line)
    if state.get("LoadState") == "not-found":
        return False, "there is no such unit"
    active = state.get("ActiveState", "")
    if not active:
        return False, _first_line(answer.output) or f"systemctl ended with status {answer.status}"
    detail = f"{active} ({state.get('SubState', '')})"
    if active in ("active", "reloading"):
        return True, detail
    return False, f"{detail}, result: {state['Result']}" if state.get("Result") else detail


def _command(answer: Answer) -> tuple[bool, str]:
    lines = [line.strip() for line in answer.output.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if answer.status == 0:
        return True, last or "ended with status 0"
    return False, f"ended with status {answer.status}: {last}" if last else f"ended with status {answer.status}"


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "(nothing)")[:120]
