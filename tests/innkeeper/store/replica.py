"""A replica as a process of its own: works on the shared queue, and writes down what it does.

Arguments: the database, its name, seconds that a job takes, the file to write to. A job takes its time under the lock
of the cluster `one`; one of the source `busy` lets nothing else run in its process meanwhile.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from innkeeper.store import open_queue, open_store


async def main(database: str, name: str, seconds: float, record: Path) -> None:
    store, _ = await open_store(database)
    queue = open_queue(database, store)

    def note(*words: object) -> None:
        with record.open("a", buffering=1) as file:
            file.write(" ".join(map(str, (name, *words))) + "\n")

    async def work(job_id: int) -> None:
        job = await store.job(job_id)
        assert job is not None
        if job.state not in ("pending", "running"):
            return
        begun = await store.update_job(job_id, (job.state,), state="running", profile=name)
        assert begun is not None
        note("takes", job_id, job.state)
        async with queue.cluster(["one"]):
            note("begins", job_id)
            if job.request.source == "busy":
                time.sleep(seconds)  # noqa: ASYNC251 - as a long calculation would
            else:
                await asyncio.sleep(seconds)
            note("ends", job_id)
        await store.update_job(job_id, ("running",), state="succeeded")

    async def lead() -> None:
        async with queue.leader():
            note("leads", os.getpid())
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(queue.run(work))
        group.create_task(lead())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), Path(sys.argv[4])))
