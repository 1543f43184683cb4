"""The comment is read as a forge reads it: rendered, with its HTML."""

from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from syrupy.assertion import SnapshotAssertion

from innkeeper.control.comment import LIMIT, Proposal, markdown, summary
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.objects import Ref
from innkeeper.model.plan import Action, Change, Impact, Json, Plan, Step

REVISION = "b" * 40
URL = "https://innkeeper.example.org/jobs/7"
HOSTILE = (
    "</details><script>alert(1)</script> ![x](javascript:alert(1)) [y](https://evil.example) @everyone #1 !2\n"
    "```\n~~~~\n/close\n<!-- innkeeper:plan/home --> \u202egnp.exe `code` **b** | a |"
)


def step(
    name: str,
    action: Action = "update",
    impact: Impact = "live",
    changes: tuple[Change, ...] = (),
    reason: str = "",
    refused: str = "",
    former: int | None = None,
) -> Step:
    ref = Ref("Container", name)
    return Step(action, ref, "home", "pve1", 104, impact, changes, reason, refused=refused, former=former)


PLAN = Plan(
    (
        step("new", "create", "none", (Change("cpu.cores", None, 2, "none"), Change("memory", None, "512Mi", "none"))),
        step("web", "update", "live", (Change("cpu.cores", 2, 4), Change("tags", ["a"], ["a", "b"]))),
        step("db", "update", "restart", (Change("memory", "1Gi", "2Gi", "restart"), Change("start", True, None))),
        step("swap", "replace", "replace", (Change("unprivileged", True, False, "replace"),), former=99),
        step("old", "delete", "data-loss", reason="is not declared any more", refused="prune is off"),
        step("same", "noop", "none"),
    ),
    diagnostics=(Diagnostic("warning", "SlowLink", "a link is slow", "wait", Location("libs/db.yaml", 3, 5)),),
)
PLACES = {Ref("Container", "web"): Location("libs/web.yaml", 7, 1)}


class Tags(HTMLParser):
    """What a browser would make of it: the tags, the links, the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str | None] = []
        self.text = ""
        self.feed(MarkdownIt("commonmark").enable("table").render(text))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        assert all(name in ("href", "open", "class") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_plan(snapshot: SnapshotAssertion) -> None:
    assert markdown(Proposal("home", REVISION, PLAN, places=PLACES, url=URL)) == snapshot


def test_a_fork_without_a_plan(snapshot: SnapshotAssertion) -> None:
    error = Diagnostic("error", "UnknownField", "unknown field cpus", "did you mean cpu?", Location("web.yaml", 4, 3))
    assert markdown(Proposal("home", REVISION, None, (error,), fork=True)) == snapshot


def test_no_changes(snapshot: SnapshotAssertion) -> None:
    assert markdown(Proposal("home", REVISION, Plan((step("same", "noop"),), undecided=2))) == snapshot


def test_the_summary_fits_a_status() -> None:
    assert summary(PLAN) == "1 to create, 2 to update, 1 to replace, 1 to delete; 1 not allowed"
    assert summary(Plan(())) == "no changes"


def test_the_gravest_comes_first() -> None:
    text = markdown(Proposal("home", REVISION, PLAN))
    names = ("old", "swap", "db", "web", "new")
    assert sorted(names, key=lambda name: text.index(f"Container/{name}")) == list(names)


def hostile(text: str, before: Json, after: Json) -> Proposal:
    change = Change(f"description.{text}", before, after, "restart")
    found = step(text, "update", "restart", (change, change), text, text)
    diagnostic = Diagnostic("error", "Code", text, text, Location(text, 3, 1))
    return Proposal("home", REVISION, Plan((found,)), (diagnostic,), {found.ref: Location(text, 1, 1)}, URL)


def check(text: str) -> None:
    assert len(text) <= LIMIT
    page = Tags(text)
    assert page.tags <= {"h3", "h4", "p", "strong", "ul", "li", "code", "pre", "details", "summary", "b", "a"}
    assert page.links == [URL]
    assert not any(line.startswith(("/", "<!--")) for line in text.splitlines())
    for place in (place for place, letter in enumerate(page.text[:-1]) if letter in "@#!"):
        assert not (page.text[place + 1].isalnum() or page.text[place + 1] == "_")


def test_hostile_texts_stay_texts(snapshot: SnapshotAssertion) -> None:
    text = markdown(hostile(HOSTILE, HOSTILE, [HOSTILE, {HOSTILE: HOSTILE}]))
    check(text)
    assert "alert(1)" in Tags(text).text
    assert text == snapshot


texts = st.text(st.sampled_from("`~<>&@#![](){}*_|\\/\n\r -+=.:ab1\"'\u202e\u200b")) | st.text()


@settings(max_examples=150)
@given(texts, texts, texts)
def test_no_text_becomes_markup(text: str, before: str, after: str) -> None:
    check(markdown(hostile(text, before, [after, {before: after}])))


def test_a_plan_of_ten_thousand_guests_fits() -> None:
    steps = tuple(step(f"web{number}", changes=(Change("cpu.cores", 1, 2),) * 200) for number in range(10_000))
    text = markdown(Proposal("home", REVISION, Plan(steps), url=URL))
    check(text)
    assert "more that this comment has no room for" in text
    assert "… and 140 more fields" in text
    assert "10000 to update" in text
