# shellcheck shell=bash
# What docker/test.sh and scripts/test-package.sh share: a bare Debian made on the spot (where no registry can be reached
# it is the base image, too), name spaces and a podman of their own, and counting what was checked. To be sourced after
# setup.sh, whose functions it uses.
# shellcheck disable=SC2154 # root is setup.sh's; outcomes, a file, is whose who sources this

debian_suite=bookworm
# The longest time that something may take which comes over the network, in seconds.
network_limit=900

# need_tools PACKAGE…: installs those Debian packages that are missing. As root, on a system with apt-get.
need_tools() {
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    if [ "${#missing[@]}" -eq 0 ]; then return 0; fi
    say "installing ${missing[*]}"
    timeout "$network_limit" apt-get -qq -o DPkg::Lock::Timeout=300 update </dev/null >&2 ||
        say "apt-get update failed; trying with the package lists that are there"
    DEBIAN_FRONTEND=noninteractive timeout "$network_limit" apt-get -qq -o DPkg::Lock::Timeout=300 install -y \
        --no-install-recommends "${missing[@]}" </dev/null >&2 || die "apt-get could not install ${missing[*]}" "Its own message stands above."
}

# debian_tree DIRECTORY: makes a minimal Debian in it. Made once; the archive of it is used for a day.
debian_tree() {
    local archive=$root/.build-debian/$debian_suite.tar
    if [ -z "$(find "$archive" -mmin -1440 2>/dev/null)" ]; then
        need_tools debootstrap
        debian_archive "$archive"
    fi
    mkdir -p "$1"
    tar -C "$1" --numeric-owner -xf "$archive"
}

debian_archive() {
    local tree=$root/.build-debian/tree
    say "making a bare Debian $debian_suite with debootstrap"
    rm -rf "$tree"
    mkdir -p "$tree"
    timeout "$network_limit" debootstrap --variant=minbase "$debian_suite" "$tree" </dev/null >"$root/.build-debian/debootstrap.log" 2>&1 ||
        die "debootstrap failed" "$(tail -n 5 "$root/.build-debian/debootstrap.log")"
    rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/*
    tar -C "$tree" --numeric-owner -cf "$1.new" .
    mv "$1.new" "$1"
    rm -rf "$tree"
}

# python_tools DIRECTORY PACKAGE…: a virtual environment with programs from PyPI.
python_tools() {
    local directory=$1
    shift
    if ! python3 -m venv "$directory" >/dev/null 2>&1; then
        need_tools python3 python3-venv
        rm -rf "$directory"
        /usr/bin/python3 -m venv "$directory" || return 1
    fi
    timeout "$network_limit" "$directory/bin/pip" -q --disable-pip-version-check --no-input --timeout 20 install "$@" \
        </dev/null >&2
}

# The longest time that `alone` may take, in seconds: a build of the binary is in it.
alone_limit=3600

# alone [OPTION...] COMMAND...: in name spaces of its own, so that no mount, no process and (with --net) no firewall rule
# and no port stays behind. What stops it halfway is a failure.
alone() {
    # SIGKILL: unshare does not listen to others, and everything in its name spaces ends with it.
    timeout -s KILL "$alone_limit" setsid -w \
        unshare --mount --pid --fork --kill-child --mount-proc --propagation private "$@" || {
        printf 'FAILED   to go to the end of: %s\n' "$*"
        echo failed >>"$outcomes"
    }
}

# may_install: whether this is root on a system with apt-get; else what follows cannot be tried here, and says so.
may_install() {
    if [ "$(id -u)" -eq 0 ] && has_command apt-get; then return 0; fi
    echo "SKIPPED  everything: it needs root, and apt-get to install $1"
    echo "0 passed, 0 failed, 1 skipped"
    return 1
}

# MARK: Podman

# shellcheck disable=SC2034 # used by the scripts that source this one
podman_packages=(podman runc netavark aardvark-dns iptables iproute2 util-linux)

# configure_podman FOLDER: all that it keeps is in there. Its defaults do not work everywhere: it may not raise limits in
# a container, and crun wants newer cgroups.
configure_podman() {
    local descriptors
    descriptors=$(ulimit -Hn)
    mkdir -p "$1/tmp" "$1/networks"
    cat >"$1/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=$descriptors:$descriptors", "nproc=32768:32768"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "$1/libpod"
[network]
network_backend = "netavark"
network_config_dir = "$1/networks"
CONF
    printf '[storage]\ndriver = "overlay"\ngraphroot = "%s/root"\nrunroot = "%s/run"\n' "$1" "$1" >"$1/storage.conf"
    use_podman "$1"
}

# What it cannot have here (systemd's timers, some control groups) it does without, and need not say each time.
podman() { command podman --log-level=fatal "$@"; }

use_podman() {
    export CONTAINERS_CONF=$1/containers.conf CONTAINERS_STORAGE_CONF=$1/storage.conf TMPDIR=$1/tmp
}

# The empty control groups that it leaves; those that are in use stay.
forget_podman() {
    find /sys/fs/cgroup -depth -type d -path '*/libpod_parent*' -exec rmdir {} + 2>/dev/null || true
}

# MARK: Counting

# Each check says its name and its outcome, and leaves one line in $outcomes for the sum at the end.

# The longest time that a check may take, in seconds; what takes longer is ended, and has failed.
check_limit=300

# check NAME COMMAND…: the command as a test, stopped at its first failing line; its output shows where it failed.
# Not to be called where a failure is looked at (if, &&, ||): bash would go on behind failing lines.
check() {
    local name=$1 log code job watchdog
    shift
    log=$(mktemp)
    # Each background job is a process group of its own, so that all of it can be ended.
    set -m
    (
        set -e
        # Its own jobs stay in its group.
        set +m
        "$@"
    ) >"$log" 2>&1 </dev/null &
    job=$!
    (
        sleep "$check_limit"
        echo "not done within $check_limit s" >>"$log"
        kill -KILL -- "-$job"
    ) >/dev/null 2>&1 </dev/null &
    watchdog=$!
    set +m
    code=0
    wait "$job" 2>/dev/null || code=$?
    # Also what a failed check has left behind: its broker would be in the way of the next ones.
    kill -KILL -- "-$watchdog" "-$job" 2>/dev/null || true
    wait "$watchdog" 2>/dev/null || true
    if [ "$code" -eq 0 ]; then
        printf 'passed   %s\n' "$name"
        echo passed >>"$outcomes"
    else
        printf 'FAILED   %s (exit code %s)\n' "$name" "$code"
        sed 's/^/           /' "$log"
        echo failed >>"$outcomes"
    fi
    rm -f "$log"
}

# skip NAME REASON
skip() {
    printf 'SKIPPED  %s: %s\n' "$1" "$2"
    echo skipped >>"$outcomes"
}

count() { grep -cx "$1" "$outcomes" || true; }

# The closing line. Fails if anything failed, or if nothing ran.
sum_up() {
    printf '%s passed, %s failed, %s skipped\n' "$(count passed)" "$(count failed)" "$(count skipped)"
    [ "$(count failed)" -eq 0 ] && [ "$(count passed)" -gt 0 ]
}

# expect_code CODE COMMAND…: that it exits so.
expect_code() {
    local wanted=$1 code=0
    shift
    "$@" || code=$?
    [ "$code" -eq "$wanted" ] || {
        echo "exit code $code instead of $wanted: $*"
        return 1
    }
}

# eventually SECONDS COMMAND…: until it succeeds, at most so long.
eventually() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ "$SECONDS" -ge "$end" ]; then
            echo "not within the time: $*"
            return 1
        fi
        sleep 0.2
    done
}
