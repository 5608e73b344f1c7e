#!/usr/bin/env bash
# Everything that has to hold before a change goes in: format, a build without warnings, all tests. The last line is
# the test runner's. Arguments go to `swift test`:
#
#   scripts/test.sh --filter ApusStoreTests
set -euo pipefail

# shellcheck source=scripts/setup.sh
. "$(dirname "$0")/setup.sh"
set_up test
cd "$root"

say "checking the format"
sources=()
for path in Sources Tests Benchmarks Fuzz migrations Package.swift; do
    if [ -e "$path" ]; then sources+=("$path"); fi
done
swift format lint --strict --recursive "${sources[@]}" ||
    die "the format differs" "This corrects it: swift format --in-place --recursive ${sources[*]}"

# `swift test` below leaves XCTest out, so that there is one summary: a test written for it would never run.
if grep --recursive --line-number --include='*.swift' 'import XCTest' Tests >&2; then
    die "tests are written with Swift Testing (import Testing)"
fi

# Package.swift looks at it: a warning of our own targets is an error.
export APUS_STRICT=1
if [ ! -d .build/debug ]; then say "building; the first time takes some minutes"; fi
swift build --build-tests
say "running the tests"
# One at a time: tests of processes, sockets and fsyncs get in each other's way on a small machine.
exec swift test --skip-build --disable-xctest --no-parallel "$@"
