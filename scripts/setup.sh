# shellcheck shell=bash
# What the other scripts share: where the project is, and what has to be installed before it builds.
# To be sourced: . "$(dirname "$0")/setup.sh"

# shellcheck disable=SC2034 # used by the scripts that source this one
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '==> %s\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '       %s\n' "$line" >&2; done
    exit 1
}

# The oldest toolchain that reads Package.swift, and the one that the project is developed with.
swift_oldest=6.2
swift_wanted=6.3

need_swift() {
    local version
    command -v swift >/dev/null ||
        die "there is no Swift toolchain on the PATH" \
            "Apus needs Swift $swift_wanted: https://www.swift.org/install/linux/"
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
    if [ -z "$version" ]; then
        die "'swift --version' names no version; is $(command -v swift) a whole toolchain?"
    elif [ "$(printf '%s\n' "$swift_oldest" "$version" | sort -V | head -n 1)" != "$swift_oldest" ]; then
        die "Swift $version is too old" "Apus needs Swift $swift_wanted: https://www.swift.org/install/linux/"
    fi
}

has_header() {
    local directory
    for directory in /usr/include /usr/local/include ${CPATH:+${CPATH//:/ }}; do
        if [ -e "$directory/$1" ]; then return 0; fi
    done
    return 1
}

has_command() { command -v "$1" >/dev/null; }

# Debian packages that are missing, of those that the arguments name: `build`, `test`.
missing_packages() {
    local packages=()
    has_command git || packages+=(git)
    has_header sqlite3.h || packages+=(libsqlite3-dev)
    has_header zlib.h || packages+=(zlib1g-dev)
    # BoringSSL, for TLS and passwords, is C++. Swift on Linux needs its headers, too, but not every image has them.
    [ -d /usr/include/c++ ] || packages+=(g++)
    if [ "$1" = test ]; then
        has_command python3 || packages+=(python3)
        has_command sqlite3 || packages+=(sqlite3)
    fi
    printf '%s\n' "${packages[*]}"
}

# Installs what is missing. Says what it does, and asks for nothing where nothing is missing.
need_packages() {
    local packages command=(apt-get -o DPkg::Lock::Timeout=120)
    packages=$(missing_packages "$1")
    if [ -z "$packages" ]; then return 0; fi
    has_command apt-get ||
        die "missing: $packages (their names in Debian), and there is no apt-get here to install them" \
            "Install SQLite and zlib with their headers (Fedora: sqlite-devel zlib-devel)," \
            "git, and for the tests python3 and the sqlite3 command."
    if [ "$(id -u)" -ne 0 ]; then
        has_command sudo ||
            die "missing: $packages, and only root may install them" \
                "As root: apt-get update && apt-get install -y $packages"
        command=(sudo "${command[@]}")
    fi
    say "installing $packages"
    "${command[@]}" update >&2 || say "apt-get update failed; trying with the package lists that are there"
    # One word a package.
    # shellcheck disable=SC2086
    "${command[@]}" install -y --no-install-recommends $packages </dev/null >&2 ||
        die "apt-get could not install $packages" "Its own message stands above."
    packages=$(missing_packages "$1")
    [ -z "$packages" ] || die "apt-get installed everything, and yet this is missing: $packages"
}

# The binary as people get it, and docker/Dockerfile builds it, in a folder of its own: sets release_binary. No folder of
# the building machine is searched for libraries when it runs, and all of them are bound when it starts, so that their
# table can be made read-only.
release_build=$root/.build-release

build_release() {
    local options=(-c release --product apus --static-swift-stdlib --scratch-path "$release_build"
        --disable-local-rpath -Xlinker -z -Xlinker now)
    say "building the release binary; the first time takes some minutes"
    # Said by itself, because where a step is looked at (||), bash does not stop at a failing line.
    swift build "${options[@]}" >&2 || return 1
    release_binary=$(swift build "${options[@]}" --show-bin-path)/apus
}

set_up() {
    need_swift
    need_packages "$1"
}
