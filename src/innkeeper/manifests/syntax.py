"""Broken YAML in plain words: what the parser stumbled over, where it began, and what to write instead."""

import re
from dataclasses import dataclass

import yaml

_NOT_ALLOWED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")

_INDENT = "Indent the fields of one object alike, and the items of one list alike."
_CLOSE = "Add the closing quote."


@dataclass(frozen=True, slots=True)
class _Mistake:
    """`part` of the parser's sentence, and ours; `from_start`: the place where the construct began says more."""

    part: str
    meaning: str
    advice: str
    from_start: bool = False


_TAB = _Mistake("tab character", "a tab indents this line", "Indent with spaces; YAML does not allow tabs there.")
_MISTAKES = (
    _TAB,
    _Mistake(
        "mapping values are not allowed",
        "a colon stands where no field can begin",
        "Put text that holds a colon in quotes, and indent fields of one object alike.",
    ),
    _Mistake(
        "could not find expected ':'",
        "this line is neither a field nor a list item",
        "Write `name: value`, or `- value`; continue long text with a deeper indent.",
        from_start=True,
    ),
    _Mistake("expected ',' or ']'", "a list in [ ] is not closed", "Put commas between items and ] at the end.", True),
    _Mistake("expected ',' or '}'", "a map in { } is not closed", "Put commas between fields and } at the end.", True),
    _Mistake("unexpected end of stream", "text in quotes is not closed", _CLOSE, from_start=True),
    _Mistake("unexpected document", "text in quotes is not closed", _CLOSE, from_start=True),
    _Mistake("unknown escape", "a backslash before a letter that needs none", "Use single quotes, or double it."),
    _Mistake("did not find expected key", "this line is indented like no field above", _INDENT),
    _Mistake("did not find expected '-'", "this line is indented like no item above", _INDENT),
    _Mistake("sequence entries are not allowed", "a list item stands where none can begin", _INDENT),
    _Mistake("incompatible YAML", "the document asks for another version of YAML", "Leave the %YAML line out."),
    _Mistake("expected <document start>", "text stands after the document's end", "Put `---` between documents."),
)


def explain(error: yaml.YAMLError, text: str) -> tuple[str, str, str, str, int, int]:
    """code, field (none), problem, advice, line, column of an error of the parser."""
    problem = str(getattr(error, "problem", None) or "")
    began = getattr(error, "context_mark", None)
    mark = getattr(error, "problem_mark", None) or began
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    if "cannot start any token" in problem:
        return _odd_character(text, line, column)
    for known in _MISTAKES:
        if known.part in problem:
            if known.from_start and began is not None:
                line, column = began.line + 1, began.column + 1
            return "TabIndent" if known is _TAB else "Syntax", "", known.meaning, known.advice, line, column
    meaning = f"this is not YAML: {problem or 'unreadable'}"
    return "Syntax", "", meaning, "Check quotes, colons and indent.", line, column


def _odd_character(text: str, line: int, column: int) -> tuple[str, str, str, str, int, int]:
    lines = text.splitlines()
    rest = lines[line - 1][column - 1 :] if 0 < line <= len(lines) else ""
    if rest.startswith("\t"):
        return "TabIndent", "", _TAB.meaning, _TAB.advice, line, column
    meaning = f"no unquoted value can begin with {rest[:1]}" if rest else "no value can begin here"
    return "Syntax", "", meaning, "Put the value in quotes.", line, column


def unreadable_character(text: str) -> tuple[str, str, str, str, int, int] | None:
    """The first character that no YAML text may hold, as `explain` tells it."""
    match = _NOT_ALLOWED.search(text)
    if match is None:
        return None
    before = text[: match.start()]
    line, column = before.count("\n") + 1, match.start() - before.rfind("\n")
    name = f"U+{ord(match[0]):04X}"
    return "BadCharacter", "", f"the control character {name} stands in the text", "Remove it.", line, column
