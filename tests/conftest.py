"""The rule that a missing real part is a failure in CI.

Only what Go modules give (Gitea, kube-apiserver, kubectl, helm) may be missing there: the registries that CI is sure to
reach are those of Debian, PyPI and npm.
"""

import os
import signal

import pytest

# Whoever starts us in the background makes us deaf to Ctrl-C, and all that we start: here it is sent on purpose.
signal.signal(signal.SIGINT, signal.default_int_handler)

NEEDS = "needs: "
FROM_GO = tuple(f"{NEEDS}{part}" for part in ("Gitea", "kube-apiserver", "kubectl", "helm"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    report = yield
    reason = str(call.excinfo.value) if call.excinfo is not None else ""
    reason = reason.removeprefix("Skipped: ")
    missing = report.skipped and reason.startswith(NEEDS) and not reason.startswith(FROM_GO)
    if missing and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} must run in CI; {reason}"
    return report
