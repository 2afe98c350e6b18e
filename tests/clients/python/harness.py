"""What the check scripts share: arguments, counting, waiting.

A script makes clients of one library, runs its checks in order and ends with `finish`. Each
check prints one line; the exit code says whether all held. Every run has a key prefix of its
own, so that several may use one cluster.
"""

import argparse
import inspect
import sys
import time
import traceback
import urllib.parse
import uuid

PATIENCE = 30


class Settings:
    """Where the cluster is and how to get in."""

    def __init__(self):
        parser = argparse.ArgumentParser()
        parser.add_argument("--endpoints", required=True)
        parser.add_argument("--cacert")
        parser.add_argument("--cert")
        parser.add_argument("--key")
        parser.add_argument("--user", help="NAME:PASSWORD of somebody with the role root")
        parser.add_argument("--limited", help="NAME:PASSWORD of somebody with limited/ only")
        args = parser.parse_args()
        self.endpoints = [urllib.parse.urlsplit(url) for url in args.endpoints.split(",")]
        self.cacert, self.cert, self.key = args.cacert, args.cert, args.key
        self.user = args.user and tuple(args.user.split(":", 1))
        self.limited = args.limited and tuple(args.limited.split(":", 1))
        self.prefix = "checks/%s/" % uuid.uuid4().hex[:8]


failures = []


def _report(name, began, error):
    seconds = time.monotonic() - began
    if error is None:
        print("ok      %-40s %.2fs" % (name, seconds), flush=True)
        return
    failures.append(name)
    print("FAILED  %-40s %.2fs  %r" % (name, seconds, error), flush=True)
    traceback.print_exception(type(error), error, error.__traceback__, file=sys.stdout)


def run(*checks):
    """Runs functions without arguments, one after the other, also after a failed one."""
    for check in checks:
        began, error = time.monotonic(), None
        try:
            check()
        except Exception as caught:
            error = caught
        _report(check.__name__, began, error)


async def run_async(*checks):
    """The same for coroutines."""
    for check in checks:
        began, error = time.monotonic(), None
        try:
            result = check()
            if inspect.isawaitable(result):
                await result
        except Exception as caught:
            error = caught
        _report(check.__name__, began, error)


def equal(actual, expected):
    if actual != expected:
        raise AssertionError("%r instead of %r" % (actual, expected))


def holds(condition, what):
    if not condition:
        raise AssertionError(what)


def refused(error, action, text=None):
    """`action` must raise `error`, and say `text`."""
    try:
        action()
    except error as caught:
        if text is not None:
            said = repr(caught) + str(getattr(caught, "details", lambda: "")())
            said += str(getattr(caught, "detail_text", ""))
            holds(text in said, "%r is not in %s" % (text, said))
        return caught
    raise AssertionError("%s was not raised" % (error,))


def eventually(what, attempt):
    """The first true answer of `attempt`."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = attempt()
        if answer:
            return answer
        holds(time.monotonic() < deadline, "%s: not in time" % what)
        time.sleep(0.05)


def finish():
    print("%d failed" % len(failures) if failures else "all checks hold", flush=True)
    sys.exit(1 if failures else 0)
