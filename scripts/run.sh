#!/usr/bin/env bash
# Builds Apus and starts the broker with its defaults: no other server, no configuration, one SQLite file (apus.db in
# the working directory), on 127.0.0.1:2787 and [::1]:2787. Arguments go to `apus serve`:
#
#   scripts/run.sh --db /tmp/tour.db --listen 127.0.0.1:0
set -euo pipefail

# shellcheck source=scripts/setup.sh
. "$(dirname "$0")/setup.sh"
set_up build

if [ ! -d "$root/.build/release" ]; then
    say "building; the first time takes some minutes, most of it for SwiftNIO and GRDB"
fi
swift build --package-path "$root" -c release --product apus >&2
bin=$(swift build --package-path "$root" -c release --product apus --show-bin-path)
say "$bin/apus serve${*:+ $*}"
exec "$bin/apus" serve "$@"
