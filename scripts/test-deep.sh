#!/usr/bin/env bash
# What takes longer than scripts/test.sh, and looks deeper: brokers killed again and again, sanitizers, fuzzing, the
# packages on a bare Debian, the container. Everything runs also where something before it failed; what failed is said
# at the end. Without arguments all steps run, else those that are named: torture, thread, address, fuzz, package,
# container.
#
#   scripts/test-deep.sh thread
#   APUS_TORTURE_ROUNDS=1000 scripts/test-deep.sh torture
set -euo pipefail

# shellcheck source=scripts/setup.sh
. "$(dirname "$0")/setup.sh"
set_up test
cd "$root"

export APUS_STRICT=1
rounds=${APUS_TORTURE_ROUNDS:-60}
fuzz_seconds=${APUS_FUZZ_SECONDS:-60}

run_tests() { swift test --disable-xctest --no-parallel "$@"; }

# Acknowledged messages against `kill -9`: the broker's process is killed at random points, more often than in test.sh.
torture() { APUS_TORTURE_ROUNDS=$rounds run_tests --filter '^ApusProcessTests\.'; }

# Data races: everything that crosses threads.
thread() {
    TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}" run_tests --sanitize thread --scratch-path .build-tsan \
        --filter '^Apus(Broker|Store|Server|Client)Tests\.'
}

# Memory: everything that reads foreign bytes, and everything that calls C.
address() {
    ASAN_OPTIONS="detect_leaks=0 ${ASAN_OPTIONS:-}" run_tests --sanitize address --scratch-path .build-asan \
        --filter '^Apus(Model|Wire|Store|Server|Client)Tests\.'
}

# Every decoder against damaged input.
fuzz() {
    if [ ! -x scripts/fuzz.sh ]; then
        say "there is no scripts/fuzz.sh"
        return 1
    fi
    scripts/fuzz.sh "$fuzz_seconds"
}

# What people install: the packages, tried on a bare Debian.
package() { scripts/test-package.sh; }

# The image and the Compose files.
container() { docker/test.sh; }

if [ "$#" -eq 0 ]; then set -- torture thread address fuzz package container; fi
for step in "$@"; do
    case $step in
    torture | thread | address | fuzz | package | container) ;;
    *) die "there is no step '$step'" "The steps are torture, thread, address, fuzz, package and container." ;;
    esac
done

failed=()
for step in "$@"; do
    say "$step"
    begin=$SECONDS
    if "$step"; then
        say "$step passed in $((SECONDS - begin)) s"
    else
        say "$step FAILED after $((SECONDS - begin)) s"
        failed+=("$step")
    fi
done
[ "${#failed[@]}" -eq 0 ] || die "failed: ${failed[*]}" "Again, by itself: scripts/test-deep.sh ${failed[*]}"
say "all of it passed: $*"
