"""The last line of defence: what is said about a guest never holds one of its secrets."""

from collections.abc import Iterable

_SHORTEST = 4
_HIDDEN = "***"


class Scrubber:
    """Replaces secrets in text. A secret of many lines is hidden line by line as well; very short ones cannot be."""

    def __init__(self, secrets: Iterable[object] = ()) -> None:
        words: set[str] = set()
        for secret in secrets:
            text = str(secret)
            words.update(part.strip() for part in (text, *text.splitlines()))
        self._words = sorted((word for word in words if len(word) >= _SHORTEST), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for word in self._words:
            text = text.replace(word, _HIDDEN)
        return text
