"""One comment for each marker, found again even where nothing is remembered. Pure.

The marker stands at the very end of the comment, where nobody sees it. A comment counts only when our own user wrote
it: a stranger who posts the marker first would otherwise own what Innkeeper says.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comment:
    id: int
    author: str
    body: str


def marked(text: str, marker: str) -> str:
    """`marker` is a word of ours such as `plan/home`."""
    return f"{text.rstrip()}\n\n{_end(marker)}"


def is_ours(comment: Comment, author: str, marker: str) -> bool:
    return comment.author == author and comment.body.rstrip().endswith(_end(marker))


def _end(marker: str) -> str:
    return f"<!-- innkeeper:{marker} -->"
