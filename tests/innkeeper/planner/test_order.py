"""Waves: everything after what it needs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innkeeper.model.objects import Ref
from innkeeper.planner.order import waves


def ref(name: str) -> Ref:
    return Ref("Container", name)


def test_a_chain_and_a_loner() -> None:
    needs = {ref("a"): [], ref("c"): [ref("b")], ref("b"): [ref("a"), ref("unknown")], ref("d"): []}
    assert waves(needs) == {ref("a"): 0, ref("b"): 1, ref("c"): 2, ref("d"): 0}


def test_a_cycle_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs itself"):
        waves({ref("a"): [ref("b")], ref("b"): [ref("a")]})


@given(st.lists(st.lists(st.integers(0, 19), max_size=4), max_size=20))
def test_needs_come_first(edges: list[list[int]]) -> None:
    needs = {ref(str(at)): [ref(str(need)) for need in inner if need < at] for at, inner in enumerate(edges)}
    found = waves(needs)
    for name, inner in needs.items():
        assert all(found[need] < found[name] for need in inner)
        assert found[name] == max((found[need] + 1 for need in inner), default=0)


def test_a_long_chain_is_no_matter_of_the_stack() -> None:
    needs = {ref(str(at)): [ref(str(at + 1))] for at in range(20_000)}
    assert max(waves(needs).values()) == 19_999
