"""Marker and notes go together and come apart again, whatever people write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innkeeper.model.observed import Marker
from innkeeper.settings import canonical
from innkeeper.settings.marker import NOTES_LIMIT, read_marker, room, write_marker

_WORD = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)
_SETTING = st.one_of(
    st.from_regex(r"[a-z]{1,8}[0-9]?(\.[a-z_-]{1,6})?", fullmatch=True),
    st.from_regex(r"mp[0-9]=/[a-z. ]{1,6}", fullmatch=True),
)
_MARKERS = st.builds(
    Marker,
    source=_WORD,
    kind=st.sampled_from(["Container", "VirtualMachine"]),
    name=_WORD,
    revision=st.one_of(st.just(""), _WORD),
    settings=st.lists(_SETTING, max_size=8, unique=True).map(lambda names: tuple(sorted(names))),
    made=st.dictionaries(_WORD, _WORD, max_size=2).map(lambda made: tuple(sorted(made.items()))),
    configured=st.one_of(st.just(""), _WORD),
)
_NOTES = st.text(max_size=80)


@given(_NOTES, _MARKERS, st.sampled_from(["", "\n"]))
def test_both_come_back(visible: str, marker: Marker, added: str) -> None:
    notes = write_marker(visible, marker)
    assert read_marker(notes + added) == (canonical.notes(visible), marker)


@given(_NOTES, _MARKERS)
def test_nothing_in_the_marker_ends_its_comment(visible: str, marker: Marker) -> None:
    comment = write_marker("", marker)
    assert comment.startswith("<!-- innkeeper ")
    assert comment.index("-->") == len(comment) - 3
    assert "\n" not in comment


def test_a_marker_in_the_text_is_text() -> None:
    ours, theirs = Marker("a", "Container", "web"), Marker("b", "Container", "web")
    text = f"see {write_marker('', theirs)}"
    assert read_marker(write_marker(text, ours)) == (text, ours)


@pytest.mark.parametrize(
    "notes",
    [
        "",
        "plain",
        "<!-- innkeeper {} -->",
        "<!-- innkeeper [] -->",
        '<!-- innkeeper {"source":"a","kind":"Container" -->',
        '<!-- innkeeper {"source":"a","kind":"Container","name":""} -->',
        '<!-- innkeeper {"source":"a","kind":"Container","name":"x"} --> and more',
    ],
)
def test_what_is_no_marker_stays_visible(notes: str) -> None:
    assert read_marker(notes) == (notes, None)


def test_notes_have_room_for_the_marker_or_say_so() -> None:
    marker = Marker("s", "Container", "web")
    assert room("", ()) > 7000
    assert room("x" * NOTES_LIMIT, ()) < 0
    with pytest.raises(ValueError, match="8192"):
        write_marker("x" * NOTES_LIMIT, marker)
    # as many nics as Proxmox has, and the longest description that a manifest may have
    many = tuple(f"net{n}.{part}" for n in range(32) for part in ("bridge", "ip", "name"))
    assert room("x" * 6000, many) > 0
