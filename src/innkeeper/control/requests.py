"""How a wish becomes a job: recorded, told to the pages, put in its turn. Bursts of the same wish are one job."""

from innkeeper.control.house import House
from innkeeper.model.jobs import Job, Request


async def request(house: House, wish: Request, *, retry_of: int | None = None) -> Job:
    """The job; one that has not begun and asks for the same is taken instead.

    That loses nothing: a job looks at the newest revision when it begins, which is after this moment.
    """
    house.source(wish.source)
    async with house.asking:
        if retry_of is None and (same := await _pending(house, wish)) is not None:
            return same
        job = await house.store.add_job(wish, retry_of=retry_of)
    house.bus.tell("job", {"id": job.id, "state": job.state, "source": wish.source})
    await house.queue.submit(job)
    return job


async def _pending(house: House, wish: Request) -> Job | None:
    for job in await house.store.jobs(states=("pending",), source=wish.source):
        there = job.request
        same = (there.type, there.revision, there.only) == (wish.type, wish.revision, wish.only)
        looking = wish.type in ("sync", "plan") or "branch" in wish.payload
        if looking and same and dict(there.payload) == dict(wish.payload) and not job.approved_by:
            return job
    return None
