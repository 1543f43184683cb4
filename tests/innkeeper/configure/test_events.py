"""What Ansible says of a failure, as people are told it."""

from innkeeper.configure.events import told


def test_a_long_reason_is_told_by_its_beginning_and_its_end() -> None:
    lines = [
        "It did not become healthy",
        *(f"line {number}" for number in range(30)),
        "The version of before runs again.",
    ]
    said = told({"event": "failed", "task": "release : Deploy", "reason": "\n".join(lines)}).splitlines()
    assert said[0] == "the task `release : Deploy` failed: It did not become healthy"
    assert said[-2:] == ["…", "The version of before runs again."]
    assert len(said) == 12
