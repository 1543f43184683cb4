"""What every test may use: a real pvesim, and the rule that a missing real part is a failure in CI."""

import os

import pytest

NEEDS = "needs: "


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    report = yield
    reason = str(call.excinfo.value) if call.excinfo is not None else ""
    if report.skipped and reason.removeprefix("Skipped: ").startswith(NEEDS) and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} must run in CI; {reason}"
    return report
