#!/usr/bin/env bash
# Fuzzes the decoder of the native protocol with libFuzzer and AddressSanitizer.
#
#   scripts/fuzz.sh [SECONDS]     60 by default
#
# Ends with 1 where an input crashed, hung or took too much memory; the input is then in Fuzz/FailCases. Inputs that
# reach new code are kept outside of the repository, in .build-fuzz/corpus, and are used again by the next run.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
build=.build-fuzz
grown=$build/corpus

# The sanitizers are for all targets. One option for both: of two, the second would win, and nothing would guide the
# fuzzer. `-parse-as-library`, because the single file of a target would be taken for top-level code.
APUS_FUZZ=1 swift build --scratch-path "$build" --product apus-fuzz -c release \
    -Xswiftc -sanitize=fuzzer,address -Xswiftc -parse-as-library \
    -Xswiftc -assert-config -Xswiftc Debug

mkdir -p "$grown" Fuzz/FailCases
# The backtracer would catch the signals that libFuzzer reports inputs by.
export SWIFT_BACKTRACE=enable=no
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0:abort_on_error=0}
"$(APUS_FUZZ=1 swift build --scratch-path "$build" -c release --show-bin-path)/apus-fuzz" \
    -max_total_time="$seconds" -rss_limit_mb=2048 -malloc_limit_mb=256 -timeout=10 -max_len=70000 -len_control=20 \
    -print_final_stats=1 -artifact_prefix=Fuzz/FailCases/ \
    "$grown" Fuzz/Corpus Fuzz/FailCases
