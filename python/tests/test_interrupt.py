"""Ctrl-C, as a shell sends it, and threads of the user's beside a call of ours."""

import signal
import subprocess
import sys
import threading
import time

import voxstream

from conftest import TRAIN, VIEWS

STREAM = """
import sys, voxstream
for n, batch in enumerate(voxstream.stream(sys.argv[1], epochs=None)):
    if n == 5:
        print("begun", flush=True)
"""
# Nobody takes the batches: the call waits for the first one, which takes long.
WAIT = """
import sys, voxstream
print("begun", flush=True)
next(voxstream.stream(sys.argv[1], set={"source.phantom.size": [300, 300, 300], "source.phantom.subjects": 8}))
"""
RUN = """
import sys, voxstream
print("begun", flush=True)
voxstream.run(sys.argv[1], out=sys.argv[2], device="cpu")
"""


def interrupted(code, path, out, wait):
    # A job in a shell's background ignores SIGINT, and so would its children.
    code = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n" + code
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "begun\n", process.communicate()
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, errors = process.communicate(timeout=60)
    return time.monotonic() - begun, process.returncode, errors


def test_ctrl_c_ends_a_stream(write, tmp_path):
    for code in (STREAM, WAIT):
        seconds, status, errors = interrupted(code, write(VIEWS), tmp_path, 0.5)
        assert "KeyboardInterrupt" in errors and status != 0, errors
        assert seconds < 2, seconds


def test_ctrl_c_ends_a_run_which_can_be_resumed(write, tmp_path):
    path = write(VIEWS, TRAIN % 1_000_000)
    seconds, status, errors = interrupted(RUN, path, tmp_path / "out", 2)
    assert "KeyboardInterrupt" in errors and status != 0, errors
    assert seconds < 2, seconds
    assert (tmp_path / "out" / "plan.json").exists() and not (tmp_path / "out" / "report.html").exists()


def test_the_gil_is_free_while_a_call_waits(write):
    ticks, done = [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.005)

    thread = threading.Thread(target=tick)
    thread.start()
    begun = time.monotonic()
    try:
        next(voxstream.stream(write(VIEWS), set={"source.phantom.size": [160, 160, 160]}))
    finally:
        seconds = time.monotonic() - begun
        done.set()
        thread.join()
    longest = max(b - a for a, b in zip(ticks, ticks[1:]))
    assert seconds > 0.2 and longest < 0.5 * seconds, (seconds, longest)
