"""Which guest on the cluster is the declared one: a closed set of outcomes, each with its reason.

A guest is ours by the marker in its notes, and by nothing else. Where the evidence does not suffice (a node is offline,
a configuration cannot be read, somebody else's guest has the vmid or the name) the outcome is `Blocked`: nothing is
created beside what may already exist, and nothing is changed that may not be ours.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from innkeeper.model.objects import Guest, Ref
from innkeeper.model.observed import ClusterView, Marker, ObservedGuest
from innkeeper.settings.marker import TAG

MAKING = frozenset({"create", "clone"})
"""Locks of a guest that a running create, restore or clone is making: its configuration does not say yet whose it is.

Source: PVE::AbstractConfig, create_and_lock_config; PVE::API2::Qemu, clone_vm.
"""


@dataclass(frozen=True, slots=True)
class Ours:
    """`renamed` is the name that the marker still has, where the manifest gave the same vmid a new one."""

    observed: ObservedGuest
    renamed: str = ""


@dataclass(frozen=True, slots=True)
class Adopt:
    """To be taken over; `owner` is the source that it is taken from."""

    observed: ObservedGuest
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Absent:
    """Proved not to exist: it may be created."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Nothing can be decided. `field` is the manifest's field that the reason is about.

    `passing`: it mends itself (an offline node, a running create); otherwise a person must act.
    """

    code: str
    summary: str
    detail: str
    field: str = "metadata.name"
    passing: bool = False
    observed: ObservedGuest | None = None


Outcome = Ours | Adopt | Absent | Blocked


def host_name(guest: Guest) -> str:
    return guest.spec.hostname or guest.ref.name


def made_at(marker: Marker) -> int | None:
    """The vmid that the marker was written for; a copy of a guest carries its original's."""
    vmid = dict(marker.made).get("vmid", "")
    return int(vmid) if vmid.isdigit() else None


def true_marker(observed: ObservedGuest) -> Marker | None:
    """The guest's own marker; one that a clone or a restore brought along from another guest does not count."""
    marker = observed.marker
    if marker is None or made_at(marker) not in (None, observed.vmid):
        return None
    return marker


def pair(
    guests: Sequence[Guest],
    view: ClusterView,
    source: str,
    take_over: bool = False,
    others: Collection[Ref] = (),
) -> dict[Ref, Outcome]:
    """The outcome for each of these guests; `others` are declared on this cluster too, but not asked for."""
    index = _Index(guests, view, source)
    index.declared.update(others)
    return {guest.ref: _pair_one(guest, index, take_over) for guest in guests}


class _Index:
    """One cluster's guests by everything that pairing asks for; read-only once made."""

    def __init__(self, guests: Sequence[Guest], view: ClusterView, source: str) -> None:
        self.view = view
        self.source = source
        self.declared = {guest.ref for guest in guests}
        self.vmids = {guest.spec.vmid: guest.ref for guest in guests if guest.spec.vmid is not None}
        self.names = {(guest.ref.kind, host_name(guest).lower()) for guest in guests}
        self.marked: dict[Ref, list[ObservedGuest]] = defaultdict(list)
        self.copies: dict[Ref, list[ObservedGuest]] = defaultdict(list)
        self.named: dict[tuple[str, str], list[ObservedGuest]] = defaultdict(list)
        self.murky: list[ObservedGuest] = []
        for seen in view.guests.values():
            if seen.name is not None:
                self.named[seen.kind, seen.name.lower()].append(seen)
            if seen.marker is not None and seen.marker.source == source:
                group = self.copies if true_marker(seen) is None else self.marked
                group[Ref(seen.marker.kind, seen.marker.name)].append(seen)
            elif seen.lock in MAKING or (seen.config is None and (self.unseen(seen) or seen.unreadable)):
                self.murky.append(seen)

    def unseen(self, seen: ObservedGuest) -> bool:
        node = self.view.nodes.get(seen.node)
        return node is None or not node.online


def _pair_one(guest: Guest, index: _Index, take_over: bool) -> Outcome:
    vmid = guest.spec.vmid
    if vmid is not None and vmid in index.view.guests:
        return _judge(guest, index.view.guests[vmid], index, take_over)
    found = [seen for seen in index.marked[guest.ref] if index.vmids.get(seen.vmid, guest.ref) == guest.ref]
    if len(found) > 1:
        return Blocked(
            "Ambiguous",
            f"{len(found)} guests carry the marker of {guest.ref}: {_list(found)}",
            "Name the right one with spec.vmid; then remove the marker from the notes of the others.",
        )
    if found:
        seen = found[0]
        if seen.kind != guest.ref.kind:
            return _other_kind(guest, seen)
        return _readable(seen, index) or Ours(seen)
    if copies := [seen for seen in index.copies[guest.ref] if seen.vmid not in index.vmids]:
        return _only_copies(guest, copies)
    return _namesake(guest, index, take_over) or _doubt(guest, index) or Absent()


def _judge(guest: Guest, seen: ObservedGuest, index: _Index, take_over: bool) -> Outcome:
    """What the guest at the declared vmid is to us."""
    if seen.kind != guest.ref.kind:
        return _other_kind(guest, seen)
    if blocked := _readable(seen, index):
        return blocked
    marker = true_marker(seen)
    if marker is None:
        return Adopt(seen) if guest.adopt else _not_ours(guest, seen, "spec.vmid")
    if marker.source != index.source:
        return Adopt(seen, marker.source) if take_over else _owned(guest, seen, marker, "spec.vmid")
    held = Ref(marker.kind, marker.name)
    if held == guest.ref:
        return Ours(seen)
    if held in index.declared:
        return Blocked(
            "VmidInUse",
            f"vmid {seen.vmid} holds {held}, which is declared as well",
            f"Give {guest.ref} another vmid, or remove the manifest of {held}.",
            "spec.vmid",
            observed=seen,
        )
    return Ours(seen, renamed=str(held))


def _readable(seen: ObservedGuest, index: _Index) -> Blocked | None:
    """Why nothing may be decided about this guest now; None where its configuration is known."""
    if index.unseen(seen):
        return Blocked(
            "NodeOffline",
            f"node {seen.node}, where guest {seen.vmid} lives, is offline",
            "Nothing is decided about it until the node is back.",
            passing=True,
            observed=seen,
        )
    if seen.lock in MAKING:
        return Blocked(
            "Creating",
            f"guest {seen.vmid} on {seen.node} is still being created",
            "Wait until its task ends. If none runs, an earlier create was cut off: "
            f"{'pct' if seen.kind == 'Container' else 'qm'} unlock {seen.vmid}, look at it, then destroy it.",
            passing=True,
            observed=seen,
        )
    if seen.config is None:
        return Blocked(
            "Unreadable",
            f"the configuration of guest {seen.vmid} on {seen.node} could not be read",
            seen.unreadable or "It was not asked for.",
            observed=seen,
        )
    return None


def _namesake(guest: Guest, index: _Index, take_over: bool) -> Outcome | None:
    """Somebody else's guest of the same kind and name: most likely the one that is meant."""
    foreign = [seen for seen in index.named[guest.ref.kind, host_name(guest).lower()] if not _is_ours(seen, index)]
    for seen in foreign:
        if blocked := _readable(seen, index):
            return blocked
        marker = true_marker(seen)
        if marker is None:
            return _not_ours(guest, seen, "metadata.name")
        if not take_over:
            return _owned(guest, seen, marker, "metadata.name")
        if (marker.kind, marker.name) == (guest.ref.kind, guest.ref.name) and len(foreign) == 1:
            return Adopt(seen, marker.source)
        return _not_ours(guest, seen, "metadata.name")
    return None


def _is_ours(seen: ObservedGuest, index: _Index) -> bool:
    marker = true_marker(seen)
    return seen.vmid in index.vmids or (marker is not None and marker.source == index.source)


def _doubt(guest: Guest, index: _Index) -> Blocked | None:
    """Why a guest that was not found may exist all the same."""
    if not index.view.complete and guest.spec.vmid is None:
        return Blocked(
            "ViewIncomplete",
            f"{guest.ref} was not found, but not every guest of the cluster can be seen",
            " ".join(index.view.gaps) or "Give the token VM.Audit on /vms, then plan again.",
        )
    for seen in index.murky:
        if seen.vmid in index.vmids or seen.kind != guest.ref.kind:
            continue
        nameless = seen.name in (None, f"CT{seen.vmid}", f"VM {seen.vmid}")
        name = (seen.name or "").lower()
        ours = TAG in seen.tags and (seen.kind, name) not in index.names
        # A declared vmid that is free speaks against all but the name.
        likely = guest.spec.vmid is None and (ours or (nameless and seen.lock in MAKING))
        if name == host_name(guest).lower() or likely:
            blocked = _readable(seen, index)
            assert blocked is not None
            return Blocked(
                blocked.code,
                f"{guest.ref} was not found, but guest {seen.vmid} on {seen.node} may be it: {blocked.summary}",
                blocked.detail,
                passing=blocked.passing,
            )
    return None


def _other_kind(guest: Guest, seen: ObservedGuest) -> Blocked:
    return Blocked(
        "KindConflict",
        f"vmid {seen.vmid} is a {seen.kind}, not a {guest.ref.kind}",
        "Change the manifest's kind or its vmid.",
        "spec.vmid",
        observed=seen,
    )


def _not_ours(guest: Guest, seen: ObservedGuest, field: str) -> Blocked:
    called = f"{seen.kind} {seen.vmid} ({seen.name}) on {seen.node}"
    return Blocked(
        "NotOurs",
        f"{called} exists and is not managed by Innkeeper",
        f'To take it over set metadata.annotations."innkeeper.dev/adopt": "true" and spec.vmid: {seen.vmid}; '
        f"otherwise choose another {'vmid' if field == 'spec.vmid' else 'name'}.",
        field,
        observed=seen,
    )


def _only_copies(guest: Guest, copies: Sequence[ObservedGuest]) -> Blocked:
    return Blocked(
        "OnlyCopies",
        f"{guest.ref} is gone, but a copy of it (a clone, a restored backup) exists: {_list(copies)}",
        f"If it is to be the guest from now on, set spec.vmid: {copies[0].vmid} and the annotation "
        'innkeeper.dev/adopt: "true"; otherwise remove the marker from the notes of the copy.',
        "spec.vmid",
    )


def _owned(guest: Guest, seen: ObservedGuest, marker: Marker, field: str) -> Blocked:
    return Blocked(
        "OwnershipConflict",
        f"{seen.kind} {seen.vmid} on {seen.node} belongs to source {marker.source} as {marker.kind}/{marker.name}",
        "Remove it there, or take it over with --take-over.",
        field,
        observed=seen,
    )


def _list(guests: Iterable[ObservedGuest]) -> str:
    return ", ".join(f"{seen.vmid} on {seen.node}" for seen in sorted(guests, key=lambda seen: seen.vmid))
