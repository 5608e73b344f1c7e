#!/usr/bin/env bash
# What takes longer than scripts/test.sh, and looks deeper: brokers killed again and again, sanitizers, fuzzing, the
# packages on a bare Debian, the container, the metrics. Everything runs also where something before it failed; what
# failed is said at the end. Without arguments all steps run, else those that are named: torture, thread, address, fuzz,
# package, budgets, container, prometheus.
#
#   scripts/test-deep.sh thread
#   APUS_TORTURE_ROUNDS=1000 scripts/test-deep.sh torture
#
# A step may take APUS_STEP_MINUTES (25); after the time APUS_DEEP_UNTIL, in seconds since 1970, no other is begun.
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
        --filter '^Apus(Broker|Store|Server|HTTP|Client)Tests\.'
}

# Memory: everything that reads foreign bytes, and everything that calls C.
address() {
    ASAN_OPTIONS="detect_leaks=0 ${ASAN_OPTIONS:-}" run_tests --sanitize address --scratch-path .build-asan \
        --filter '^Apus(Model|Wire|Store|Server|HTTP|Client)Tests\.'
}

# Every decoder against damaged input.
fuzz() {
    if [ ! -x scripts/fuzz.sh ]; then
        say "there is no scripts/fuzz.sh"
        return 1
    fi
    scripts/fuzz.sh "$fuzz_seconds"
}

# Prometheus' own judgement: the alert rules, and what /metrics of a running broker says.
prometheus() {
    local folder pid url
    if ! has_command promtool; then
        need_promtool || {
            say "SKIPPED: there is no promtool, and apt-get could not install it (Debian's package prometheus)"
            return 0
        }
    fi
    promtool check rules config/alerts.yaml || return 1
    swift build --product apus || return 1
    folder=$(mktemp -d)
    .build/debug/apus serve --db "$folder/apus.db" --listen 127.0.0.1:0 --http 127.0.0.1:0 2>"$folder/said" &
    pid=$!
    for _ in $(seq 100); do
        if grep -q '^keeping' "$folder/said"; then break; fi
        sleep 0.1
    done
    url=$(sed -n 's/^listening on \(http:.*\)/\1/p' "$folder/said")
    python3 -c 'import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1]).read())' \
        "$url/metrics" >"$folder/metrics" && promtool check metrics <"$folder/metrics"
    local result=$?
    kill "$pid" && wait "$pid" || result=1
    rm -rf "$folder"
    return "$result"
}

# The package brings a service, too: only its binaries are wanted, and nothing is started.
need_promtool() {
    local folder=$root/.build/prometheus
    if [ ! -x "$folder/usr/bin/promtool" ]; then
        has_command apt-get && has_command dpkg-deb || return 1
        mkdir -p "$folder"
        (cd "$folder" && apt-get download prometheus && dpkg-deb -x prometheus_*.deb .) >&2 || return 1
    fi
    PATH=$folder/usr/bin:$PATH
}

# What a message costs in allocations, system calls and fsyncs, against what is checked in.
budgets() {
    local counter=$release_build/count-calls.so
    build_release || return 1
    clang -O2 -Wall -Werror -shared -fPIC -o "$counter" scripts/count-calls.c -ldl || return 1
    scripts/budgets.py "$release_binary" "$counter"
}

# What people install: the packages, tried on a bare Debian.
package() { scripts/test-package.sh; }

# The image and the Compose files.
container() { docker/test.sh; }

if [ "$#" -eq 0 ]; then set -- torture thread address fuzz package budgets container prometheus; fi
for step in "$@"; do
    case $step in
    torture | thread | address | fuzz | package | budgets | container | prometheus) ;;
    *) die "there is no step '$step'" "The steps are torture, thread, address, fuzz, package, budgets, container and prometheus." ;;
    esac
done

# One step is run here; of several each is a process of its own, so that one that hangs is ended.
if [ "$#" -eq 1 ]; then
    if "$1"; then exit; fi
    exit 1
fi

failed=()
skipped=()
for step in "$@"; do
    if [ -n "${APUS_DEEP_UNTIL:-}" ] && [ "$(date +%s)" -ge "$APUS_DEEP_UNTIL" ]; then
        say "$step SKIPPED: there is no time left for it"
        skipped+=("$step")
        continue
    fi
    say "$step"
    begin=$SECONDS
    if timeout --foreground --kill-after=30 "${APUS_STEP_MINUTES:-25}m" "$0" "$step"; then
        say "$step passed in $((SECONDS - begin)) s"
    else
        say "$step FAILED after $((SECONDS - begin)) s"
        failed+=("$step")
    fi
done
[ "${#failed[@]}" -eq 0 ] || die "failed: ${failed[*]}" "Again, by itself: scripts/test-deep.sh ${failed[*]}"
if [ "${#skipped[@]}" -gt 0 ]; then
    say "what was run passed; SKIPPED for want of time: ${skipped[*]}"
else
    say "all of it passed: $*"
fi
