"""Submodules of a container monorepo: their files in its place, fetched only from where the repository comes from."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from innkeeper.engine.errors import Stalled
from innkeeper.manifests.formats.monorepo.submodules import FILE, Refused, Submodule, read_submodules, resolved
from innkeeper.sources import gittree
from innkeeper.sources.gitcommand import Git, problem
from innkeeper.sources.gittree import Entry

_LINK = "160000"
_MOST = 200


async def files(git: Git, listing: bytes, revision: str, remote: str, source: str) -> tuple[Entry, ...]:
    """The files of a commit with those of its submodules, each at the commit that it is held at.

    Stalled where one is declared nowhere, leads elsewhere, or holds what a source may not hold (submodules among it).
    """
    own = list(gittree.entries(listing))
    links = [item for item in own if item.mode == _LINK]
    if not links:
        return gittree.accepted(own)
    if len(links) > _MOST:
        raise Stalled(f"refused: more than {_MOST} submodules", "declare fewer of them in one source")
    text = await git.must(f"source {source}: reading {FILE}", "cat-file", "blob", f"{revision}:{FILE}")
    declared = {item.path: item for item in read_submodules(text.output.decode(errors="replace"))}
    found = [item for item in own if item.mode != _LINK]
    for link in links:
        submodule = declared.get(link.path)
        if submodule is None:
            raise Stalled(f"refused: {FILE} does not name the submodule {link.path}", "add it with: git submodule add")
        found += await _files_of(git, submodule, link, remote, source)
    return gittree.accepted(found)


async def _files_of(git: Git, submodule: Submodule, link: Entry, remote: str, source: str) -> list[Entry]:
    try:
        url = resolved(submodule, remote)
    except Refused as error:
        advice = "name a repository beside this one, such as ../web.git"
        raise Stalled(f"refused: the submodule {link.path}: {error}", advice) from None
    if (await git("cat-file", "-e", f"{link.name}^{{commit}}")).status:
        place = hashlib.sha256(url.encode()).hexdigest()[:16]
        answer = await git(
            *("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"),
            *("--no-auto-maintenance", "--", url, f"+refs/heads/*:refs/innkeeper/modules/{place}/*"),
            remote=True,
            seconds=300.0,
        )
        if answer.status:
            raise problem(f"source {source}: fetching the submodule {link.path} from {url}", answer.errors)
    what = f"source {source}: reading the submodule {link.path}"
    if (await git("cat-file", "-e", f"{link.name}^{{commit}}")).status:
        raise Stalled(f"{what}: its repository has no commit {link.name[:12]}", "push it to a branch there")
    listing = await git.must(what, "ls-tree", "-r", "-z", "-l", "--full-tree", "--end-of-options", link.name)
    return list(_below(link.path, listing.output))


def _below(path: str, listing: bytes) -> Iterator[Entry]:
    for item in gittree.entries(listing):
        yield replace(item, path=f"{path}/{item.path}")
