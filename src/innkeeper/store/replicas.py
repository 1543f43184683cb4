"""The queue that replicas share: procrastinate hands the jobs out, PostgreSQL's locks tell who is alive.

A replica holds an advisory lock for every job that it does. The server takes the locks back at once when the replica
dies, and never while it lives, however busy it is; so a job that is said to be done while nobody holds its lock is
handed out again, and no job is ever done by two.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, NoReturn

import psycopg
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import Status

from innkeeper.control.memory import Store
from innkeeper.control.ports import Work
from innkeeper.engine.errors import Waiting
from innkeeper.model.jobs import Job
from innkeeper.store.database import SESSION
from innkeeper.store.holding import Connection, connect, held, standing
from innkeeper.store.lines import do, unfinished

LINE = "innkeeper"
_TASK = "job"
AT_ONCE = 32
"""Jobs that one replica does beside each other, each of another source."""
SWEEP = 3.0
"""Seconds between two looks for jobs that nobody does. What two looks saw is handed out again."""
_POLL = 0.5
"""Seconds until a job begins whose line has become free; new jobs in a free line begin at once."""
_PAUSE = 2.0
_PATIENCE = 5.0
"""Seconds to wait for a connection; a replica that is stopped does not wait longer for a lost database."""
_JOB = 0x696E6B
"""Class of the advisory locks of jobs; the object is the job's id."""
_SWEEPING = (0x696E6C, 0)
_HANDED = """
    SELECT id, attempts, status::text, (args->>'job')::int AS job FROM procrastinate_jobs
    WHERE queue_name = %(line)s AND status IN ('todo', 'doing')
"""
_DONE_NOW = """
    SELECT objid::int FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objsubid = 2 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_Key = tuple[str, int, int]
_logger = logging.getLogger(__name__)


class SharedQueue:
    """`store` belongs to the loop of `run`; the rest may be called from any loop."""

    def __init__(self, store: Store, conninfo: str) -> None:
        self._store = store
        self._conninfo = conninfo

    async def submit(self, job: Job) -> None:
        async with await connect(self._conninfo) as connection:
            try:
                await _hand_in(connection, self._app(), job)
            except ConnectorException as error:
                raise Waiting(f"job {job.id} could not be queued: {error.__cause__ or error}", after=2) from error

    async def run(self, work: Work) -> None:
        while True:
            try:
                await self._run(work)
            except (Waiting, ConnectorException, psycopg.Error) as error:
                _logger.warning("the queue has lost its database and tries again: %s", error)
                await asyncio.sleep(_PAUSE)

    @asynccontextmanager
    async def cluster(self, names: Sequence[str]) -> AsyncIterator[None]:
        async with held(self._conninfo, [f"cluster {name}" for name in names]):
            yield

    @asynccontextmanager
    async def leader(self) -> AsyncIterator[None]:
        async with held(self._conninfo, ["leader"]):
            yield

    def _app(self) -> App:
        pool: dict[str, Any] = {"min_size": 1, "max_size": 4, "timeout": _PATIENCE, "kwargs": SESSION}
        return App(connector=PsycopgConnector(conninfo=self._conninfo, **pool))

    async def _run(self, work: Work) -> NoReturn:
        """Raises Waiting, ConnectorException or psycopg.Error when the database is lost."""
        app = self._app()
        async with await connect(self._conninfo) as presence, standing(presence):
            app.task(name=_TASK, queue=LINE)(_alone(work, presence))
            async with app.open_async():
                sweep = asyncio.create_task(self._sweep(app, presence))
                worker = asyncio.create_task(
                    app.run_worker_async(
                        queues=[LINE],
                        concurrency=AT_ONCE,
                        fetch_job_polling_interval=_POLL,
                        shutdown_graceful_timeout=0,
                        delete_jobs="always",
                        install_signal_handlers=False,
                    )
                )
                try:
                    await asyncio.wait((sweep, worker), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    sweep.cancel()
                    worker.cancel()
                    ended = await asyncio.gather(sweep, worker, return_exceptions=True)
                for trouble in ended:
                    if isinstance(trouble, Exception):
                        raise trouble
                raise Waiting("the worker stopped by itself")

    async def _sweep(self, app: App, presence: Connection) -> NoReturn:
        """Hand out again what two looks in turn saw lying about; between a job's steps there is one for a moment."""
        before: set[_Key] = set()
        while True:
            if await _try_lock(presence, _SWEEPING):
                try:
                    before = await self._look(app, presence, before)
                finally:
                    await _unlock(presence, _SWEEPING)
            await asyncio.sleep(SWEEP)

    async def _look(self, app: App, presence: Connection, before: set[_Key]) -> set[_Key]:
        jobs = {job.id: job for job in await unfinished(self._store)}
        handed = await app.connector.execute_query_all_async(_HANDED, line=LINE)
        alive = {row[0] for row in await (await presence.execute(_DONE_NOW, [_JOB])).fetchall()}
        doing = [row for row in handed if row["status"] == "doing" and row["job"] not in alive]
        dead: dict[_Key, dict[str, Any]] = {("dead", row["id"], row["attempts"]): row for row in doing}
        in_line = {row["job"] for row in handed if row["status"] == "todo"}
        nowhere = jobs.keys() - {row["job"] for row in handed} - alive
        lost: dict[_Key, Job] = {("lost", job, 0): jobs[job] for job in sorted(nowhere)}
        for key in sorted(lost.keys() & before):
            await _hand_in(presence, app, lost[key])
        for key in dead.keys() & before:
            row = dead[key]
            _logger.warning("job %d is handed out again: the replica that did it is gone", row["job"])
            if row["job"] in in_line:
                await app.job_manager.finish_job_by_id_async(row["id"], Status.FAILED, delete_job=True)
            else:
                await app.job_manager.retry_job_by_id_async(row["id"], retry_at=datetime.now(UTC))
        return lost.keys() | dead.keys()


def _alone(work: Work, presence: Connection) -> Work:
    """Do a job under its lock, and not at all while somebody else holds it."""
    mine: set[int] = set()  # the server would give a session its own lock once more

    async def one(job: int) -> None:
        if job in mine or not await _try_lock(presence, (_JOB, job)):
            return
        mine.add(job)
        try:
            await do(work, job)
        finally:
            mine.remove(job)
            await _unlock(presence, (_JOB, job))

    return one


async def _hand_in(connection: Connection, app: App, job: Job) -> None:
    task = app.configure_task(
        _TASK,
        queue=LINE,
        lock=f"source {job.request.source}",
        queueing_lock=f"job {job.id}",
        connection=connection,
    )
    with suppress(AlreadyEnqueued):
        await task.defer_async(job=job.id)


async def _try_lock(connection: Connection, key: tuple[int, int]) -> bool:
    found = await (await connection.execute("SELECT pg_try_advisory_lock(%s::int, %s::int)", key)).fetchone()
    return found == (True,)


async def _unlock(connection: Connection, key: tuple[int, int]) -> None:
    with suppress(psycopg.OperationalError):  # it went with the connection
        await connection.execute("SELECT pg_advisory_unlock(%s::int, %s::int)", key)
