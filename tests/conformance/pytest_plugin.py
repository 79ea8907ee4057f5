"""Pytest plugin: a line of JSON for each test, to the file that CONFORMANCE_REPORT names, and a limit on each test's time."""

import json
import os
import signal

import pytest

REPORT = open(os.environ["CONFORMANCE_REPORT"], "a", buffering=1)
LIMIT = int(os.environ["CONFORMANCE_LIMIT"])
outcomes = {}


def too_long(_signal, _frame):
    raise TimeoutError(f"the test takes longer than {LIMIT} s")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LIMIT)
    yield
    signal.alarm(0)


def pytest_runtest_logreport(report):
    outcome, message = outcomes.get(report.nodeid, ("skipped", ""))
    if report.failed and outcome != "failed":
        outcome, message = "failed", report.longreprtext
    elif report.passed and report.when == "call":
        outcome = "passed"
    outcomes[report.nodeid] = (outcome, message)
    if report.when == "teardown":
        line = {"test": report.nodeid, "outcome": outcome, "message": message}
        REPORT.write(json.dumps(line) + "\n")
