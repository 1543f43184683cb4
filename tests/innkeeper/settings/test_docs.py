"""The page in the repository is the one that the tables say."""

from pathlib import Path

from innkeeper.settings.docs import page

FILE = Path(__file__).parents[3] / "docs" / "reference" / "changes.md"


def test_the_reference_page_is_up_to_date() -> None:
    assert FILE.read_text(encoding="utf-8") == page(), "run: make docs"
