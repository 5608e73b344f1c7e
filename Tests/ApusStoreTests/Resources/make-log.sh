#!/usr/bin/env bash
# Makes a small log to be kept: one file for each schema that was released, made by the Apus that had it, never again.
# UpgradeTests opens all of them. For a new schema, after its release:
#
#   Tests/ApusStoreTests/Resources/make-log.sh .build/debug/apus 2     # writes log-schema-2.db.gz beside this script
set -euo pipefail

apus=$(realpath "$1")
target=$(cd "$(dirname "$0")" && pwd)/log-schema-$2.db
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

start() {
    "$apus" serve --db log.db --listen 127.0.0.1:0 >out 2>&1 &
    pid=$!
    until grep -q '^keeping messages' out; do kill -0 "$pid"; done
    APUS_SERVER=$(sed -n 's,^listening on apus://,,p' out)
    export APUS_SERVER
}

start
"$apus" pub greetings/en -m hello
"$apus" pub greetings/ja -m こんにちは --charset shift_jis
"$apus" pub hall/temperature -m '{"celsius":21.5}' --content-type application/json -H site=lab --retain
seq 1 200 | "$apus" pub lines -l --publisher counter
# Killed: the seqs that were reserved become a hole, and the first segment is sealed when the next message comes.
kill -9 "$pid"
wait "$pid" || true
start
"$apus" pub greetings/fr -m bonjour --ttl 86400
seq 1 20 | "$apus" pub lines -l
# Seals while nothing comes.
until sqlite3 'file:log.db?mode=ro' 'select sealed_through from log' | grep -qv '^0$'; do kill -0 "$pid"; done
kill -TERM "$pid"
wait "$pid"
gzip -9 --no-name --stdout log.db >"$target.gz"
