"""When a guest's turn comes: after everything that it needs."""

from collections.abc import Collection, Mapping

from innkeeper.model.objects import Ref


def waves(needs: Mapping[Ref, Collection[Ref]]) -> dict[Ref, int]:
    """The wave of each object: 0 without needs, else one more than the latest of what it needs.

    Needs outside of the mapping do not count. Manifests with cycles are refused where they are read; here a cycle is a
    ValueError.
    """
    result: dict[Ref, int] = {}
    for start in needs:
        if start in result:
            continue
        path: list[Ref] = [start]
        on_path = {start}
        while path:
            ref = path[-1]
            inner = [need for need in needs[ref] if need in needs]
            open_needs = [need for need in inner if need not in result]
            if not open_needs:
                result[ref] = max((result[need] + 1 for need in inner), default=0)
                on_path.discard(path.pop())
            elif open_needs[0] in on_path:
                raise ValueError(f"{open_needs[0]} needs itself")
            else:
                path.append(open_needs[0])
                on_path.add(open_needs[0])
    return result
