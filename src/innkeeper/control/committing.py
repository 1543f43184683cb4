"""A change of manifests that a form asked for: one commit, or a pull request; the sync follows it."""

from innkeeper.control.ports import FileChange
from innkeeper.control.requests import request
from innkeeper.control.running import Outcome, Run
from innkeeper.control.syncing import SHORT
from innkeeper.engine.errors import Stalled
from innkeeper.model.jobs import Request
from innkeeper.model.plan import Json


async def commit(run: Run) -> Outcome:
    house, job = run.house, run.job
    source, payload = house.source(job.request.source), job.request.payload
    files, form = payload.get("files"), payload.get("form")
    if isinstance(form, dict) and form.get("profile"):
        await house.store.update_job(job.id, ("running",), profile=str(form["profile"]))
    changes = [
        FileChange(str(item["path"]), None if item.get("text") is None else str(item["text"]))
        for item in (files if isinstance(files, list) else ())
        if isinstance(item, dict)
    ]
    below = str(payload.get("below") or source.spec.write or "")
    if not changes or not below:
        raise Stalled(f"source {source.name}: nothing is written", "Name write: DIRECTORY in the source.")
    branch = f"innkeeper/job-{job.id}" if payload.get("pull") else ""
    message, author = str(payload["message"]), job.request.actor or "Innkeeper"
    made = await house.repository(source.name).commit(
        changes, message, author, below=below, expected=str(payload.get("expected") or ""), branch=branch
    )
    for change in changes:
        run.say(f"{'removed' if change.text is None else 'written'}: {change.path}", phase="commit")
    if branch:
        forge = house.forges.get(source.name)
        if forge is None:
            raise Stalled(f"source {source.name} names no forge", f"branch {branch} was pushed; propose it by hand")
        number, url = await forge.open_pull(branch, message.partition("\n")[0], message.partition("\n")[2].strip())
        result: dict[str, Json] = {"revision": made, "pull": number, "url": url, "branch": branch}
        return Outcome("succeeded", f"pull request {number}: {url}", result=result, revision=made)
    await house.store.put_source(source.name, seen=made, fetched_at=house.now())
    wish = Request("sync", source.name, trigger=job.request.trigger, actor=job.request.actor)
    following = await request(house, wish)
    run.say(f"committed as {made[:SHORT]}; job {following.id} brings it about")
    result = {"revision": made, "job": following.id, "files": [change.path for change in changes]}
    return Outcome("succeeded", f"committed as {made[:SHORT]}", result=result, revision=made)
