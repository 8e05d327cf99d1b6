"""Ctrl-C and SIGTERM end a command, also where Python does not get to run."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from recycle_pipeline.pipeline.ending import GRACE_SECONDS, Ending

# The command is within a library's call that takes minutes, or meets a library that swallows the exception.
STUCK = """
import hashlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import recycle_pipeline.pipeline.cli.app as app
from recycle_pipeline.pipeline import ending
from recycle_pipeline.pipeline.cli import main
ending.GRACE_SECONDS = 0.2

def in_c(**options):
    print("there", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)

def swallowing(**options):
    print("there", flush=True)
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass

def in_order(**options):
    print("there", flush=True)
    while True:
        pass

app.cli.main = {"in C": in_c, "swallowed": swallowing, "in order": in_order}[sys.argv[1]]
main([])
"""
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
PROMISED_SECONDS = 5.0


@pytest.fixture
def stuck(import_path):
    """Starts a process that is stuck in a way."""

    def start(way):
        line = [sys.executable, "-c", STUCK, way]
        process = subprocess.Popen(
            line, env=import_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "there\n"
        return process

    return start


@pytest.mark.parametrize(
    ("way", "number"),
    [("in C", signal.SIGTERM), ("swallowed", signal.SIGINT), ("in order", signal.SIGTERM)],
)
def test_a_signal_ends_a_command_with_its_code_and_says_how_to_go_on(stuck, way, number):
    process, sent = stuck(way), time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert time.monotonic() - sent < PROMISED_SECONDS
    assert (process.returncode, out) == (CODES[number], "")
    assert err == (
        "Interrupted. Finished stages are kept, and a search up to its last checkpoint; the same command "
        "goes on from there.\n"
    )


def test_the_clock_that_ends_a_stuck_command_runs_out_before_what_is_promised():
    assert 0 < GRACE_SECONDS <= PROMISED_SECONDS - 1


def test_handlers_are_put_back_and_the_thread_ends():
    before = [signal.getsignal(each) for each in CODES]
    threads = threading.active_count()
    with Ending():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(each) for each in CODES] == before
    for thread in threading.enumerate():
        if thread.name == "ending":
            thread.join(60)
    assert threading.active_count() == threads


def test_an_ignored_interrupt_stays_ignored_as_that_of_a_job_in_the_background():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Ending():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_sigterm_is_code_143_and_an_interrupt():
    with pytest.raises(KeyboardInterrupt), Ending() as ending:
        signal.raise_signal(signal.SIGTERM)
    assert ending.code == 143
    ending._heard = False
    ending._over.set()
    ending.__exit__(None, None, None)


def test_in_another_thread_nothing_is_changed():
    found = []

    def work():
        with Ending() as ending:
            found.append((ending.code, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(130, signal.getsignal(signal.SIGTERM))]
