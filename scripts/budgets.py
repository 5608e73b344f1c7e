#!/usr/bin/env python3
"""Counts what a message costs the broker - allocations, system calls, fsyncs - and compares it with budgets.json.

usage: budgets.py APUS COUNTER

APUS is the binary, COUNTER the library of count-calls.c. Each shape is run twice, for a short and for a longer time; the
difference is what messages cost, without start and end. With one message in flight the counts are the same in every run;
with a hundred the clock decides how many meet in a commit, so their budgets have room for a fifth more.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

BUDGETS = pathlib.Path(__file__).parent / "budgets.json"
KINDS = ("mallocs", "calls", "syncs")
SECONDS = (1, 4)


def broker(apus, counter, folder, counts):
    environment = dict(os.environ, LD_PRELOAD=counter, APUS_COUNTS=counts, SWIFT_BACKTRACE="enable=no")
    process = subprocess.Popen(
        [apus, "serve", "--db", os.path.join(folder, "apus.db"), "--listen", "127.0.0.1:0"],
        env=environment, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        found = re.match(r"listening on (apus://\S+)", line)
        if found:
            return process, found[1]
    sys.exit("the broker does not start")


def run(apus, counter, shape, seconds):
    """Messages that were acknowledged, and what the broker asked for meanwhile, start and end included."""
    with tempfile.TemporaryDirectory() as folder:
        counts = os.path.join(folder, "counts")
        process, server = broker(apus, counter, folder, counts)
        try:
            subprocess.run(
                [apus, "bench", "-s", server, "--publishers", "1", "--in-flight", str(shape["in-flight"]),
                 "--subscribers", str(shape["subscribers"]), "--seconds", str(seconds), "--warm-up", "0.1", "--json"],
                check=True, stdout=subprocess.DEVNULL, timeout=60)
            status = subprocess.run(
                [apus, "status", "-s", server, "--json"], check=True, capture_output=True, text=True, timeout=60)
        finally:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=60)
        if process.returncode != 0:
            sys.exit(f"the broker ended with {process.returncode}: {said}")
        with open(counts) as file:
            return json.loads(status.stdout)["head"], [int(word) for word in file.read().split()]


def measure(apus, counter, shape):
    (few, before), (many, after) = (run(apus, counter, shape, seconds) for seconds in SECONDS)
    return {kind: (b - a) / (many - few) for kind, a, b in zip(KINDS, before, after)}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    shapes = json.loads(BUDGETS.read_text())
    failed = False
    print(f"{'in flight':>9} {'subscribers':>11}   " + "   ".join(f"{kind + ' (budget)':>18}" for kind in KINDS))
    for shape in shapes:
        counted = measure(*sys.argv[1:], shape)
        cells = []
        for kind in KINDS:
            over = counted[kind] > shape[kind]
            failed |= over
            cells.append(f"{counted[kind]:.2f} ({shape[kind]:.2f}){' OVER' if over else ''}")
        print(f"{shape['in-flight']:>9} {shape['subscribers']:>11}   " + "   ".join(f"{cell:>18}" for cell in cells))
    if failed:
        sys.exit(f"a message costs more than its budget: find out why, or change {BUDGETS.name} and say what it buys")


main()
