#!/usr/bin/env bash
# Makes what is handed to people, in dist/: a tarball with the binary, and a Debian package, with their checksums.
#
#   scripts/package.sh                   apus-0.1.0-linux-x86_64.tar.gz, apus_0.1.0-1_amd64.deb, SHA256SUMS
#   scripts/package.sh --revision 2      another Debian revision of the same version: apus_0.1.0-2_amd64.deb
#   scripts/package.sh --output DIR      elsewhere
#
# The binary is built for it in .build-release, with the Swift runtime inside. From the same binary the same bytes come
# out: order, owners and times in the archives are fixed (SOURCE_DATE_EPOCH, else the time of the last commit).
set -euo pipefail

# shellcheck source=scripts/setup.sh
. "$(dirname "$0")/setup.sh"
cd "$root"
export LC_ALL=C TZ=UTC
umask 022

revision=1
output=$root/dist
while [ "$#" -gt 0 ]; do
    case $1 in
    --revision) revision=${2:?} && shift 2 ;;
    --output) output=${2:?} && shift 2 ;;
    *) die "there is no option '$1'" "scripts/package.sh [--revision N] [--output DIR]" ;;
    esac
done

build=$release_build
stage=$build/stage
maintainer=${APUS_MAINTAINER:-The Apus authors <apus@localhost>}

need_programs() {
    local missing=()
    has_command python3 || missing+=(python3)
    has_command dpkg-deb || missing+=(dpkg)
    has_command dpkg-shlibdeps || missing+=(dpkg-dev)
    has_command strip || missing+=(binutils)
    [ "${#missing[@]}" -eq 0 ] ||
        die "missing: ${missing[*]} (their names in Debian)" "apt-get install ${missing[*]}"
}

# The time that everything in the archives carries.
epoch() {
    if [ -n "${SOURCE_DATE_EPOCH:-}" ]; then
        echo "$SOURCE_DATE_EPOCH"
    else
        git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md
    fi
}

build_binary() {
    build_release
    binary=$build/apus
    strip -o "$binary" "$release_binary"
    version=$("$binary" --version)
    version=${version#apus }
    [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+ ]] || die "apus --version says '$version', which is no version"
}

# MARK: What both have

make_manual() {
    scripts/manpages.py "$binary" config/apus.yaml "$build/man" "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%d)"
}

make_completions() {
    mkdir -p "$build/completions"
    for shell in bash zsh fish; do "$binary" completions "$shell" >"$build/completions/$shell"; done
    # It is sourced, never run.
    sed -i '1{/^#!/d}' "$build/completions/bash"
}

# The sample configuration as a system service needs it: where the log is, where the users are, and a door for health and
# metrics, which nobody else's machine reaches.
system_configuration() {
    python3 - config/apus.yaml <<'PYTHON'
import sys

text = open(sys.argv[1], encoding="utf-8").read()
changes = [
    ("#   apus serve --config apus.yaml\n", "#   apus serve --config /etc/apus/apus.yaml\n"),
    ("#   apus serve --config apus.yaml --check-config ", "#   apus serve --config /etc/apus/apus.yaml --check-config "),
    ("\n#db: apus.db\n", "\ndb: /var/lib/apus/apus.db\n"),
    ("\n#users: users.yaml\n", "\n#users: /etc/apus/users.yaml\n"),
    ("\n  #address: 127.0.0.1:2788\n", "\n  address: 127.0.0.1:2788\n"),
]
for old, new in changes:
    if text.count(old) != 1:
        sys.exit(f"error: config/apus.yaml does not have {old.strip()!r} once; scripts/package.sh changes that line")
    text = text.replace(old, new)
for name in ("server.pem", "server.key", "clients.pem"):
    text = text.replace(f": {name}\n", f": /etc/apus/{name}\n")
sys.stdout.write(text)
PYTHON
}

# shipped_pages FOLDER ORIGINAL=PLACE…: the pages among them, to FOLDER/PLACE, each link in them where the package has
# what it leads to. What the package does not have is named, and no link.
shipped_pages() {
    python3 - "$@" <<'PYTHON'
import os, re, sys

folder, places = sys.argv[1], dict(pair.split("=", 1) for pair in sys.argv[2:])


def link(match, original, place):
    text, target, anchor = match.groups("")
    if target.startswith(("http:", "https:")) or not target:
        return match.group()
    found = places.get(os.path.normpath(os.path.join(os.path.dirname(original), target)))
    return f"[{text}]({os.path.relpath(found, os.path.dirname(place))}{anchor})" if found else text


for original, place in places.items():
    if not original.endswith(".md"):
        continue
    text = open(original, encoding="utf-8").read()
    text = re.sub(r"\[([^\]\n]*)\]\(([^)#\s]*)(#[^)\s]*)?\)", lambda match: link(match, original, place), text)
    os.makedirs(os.path.dirname(os.path.join(folder, place)), exist_ok=True)
    with open(os.path.join(folder, place), "w", encoding="utf-8") as file:
        file.write(text)
PYTHON
}

# put FILE PLACE [MODE]: into the stage, whatever its own mode is.
put() { install -D -m "${3:-0644}" "$1" "$stage/$2"; }

# put_compressed FILE PLACE: as Debian wants manuals and changelogs, without time and name in it.
put_compressed() {
    mkdir -p "$stage/$(dirname "$2")"
    gzip -9n <"$1" >"$stage/$2.gz"
    chmod 0644 "$stage/$2.gz"
}

fix_times() { find "$1" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +; }

# MARK: The tarball

make_tarball() {
    local name pages=()
    name=apus-$version-linux-$(uname -m)
    rm -rf "$stage" "$build/pages"
    put "$binary" "$name/bin/apus" 0755
    put "$build/system.yaml" "$name/config/apus.yaml"
    put config/apus.service "$name/config/apus.service"
    for page in "$build"/man/*; do put "$page" "$name/share/man/man${page##*.}/$(basename "$page")"; done
    put "$build/completions/bash" "$name/share/bash-completion/completions/apus"
    put "$build/completions/zsh" "$name/share/zsh/site-functions/_apus"
    put "$build/completions/fish" "$name/share/fish/vendor_completions.d/apus.fish"
    for page in README.md CHANGELOG.md docs/*.md; do pages+=("$page=$page"); done
    shipped_pages "$build/pages" "${pages[@]}" LICENSE=LICENSE config/apus.yaml=config/apus.yaml \
        config/alerts.yaml=share/apus/alerts.yaml config/grafana-dashboard.json=share/apus/grafana-dashboard.json
    for page in README.md CHANGELOG.md docs/*.md; do put "$build/pages/$page" "$name/$page"; done
    for file in alerts.yaml grafana-dashboard.json; do put "config/$file" "$name/share/apus/$file"; done
    put LICENSE "$name/LICENSE"
    put "$build/THIRD-PARTY.txt" "$name/THIRD-PARTY.txt"
    fix_times "$stage"
    tar -C "$stage" --sort=name --format=gnu --owner=0 --group=0 --numeric-owner -c "$name" |
        gzip -9n >"$output/$name.tar.gz"
    say "made $output/$name.tar.gz"
}

# MARK: The Debian package

debian_changelog() {
    cat <<TEXT
apus ($version-$revision) unstable; urgency=medium

  * Release $version. /usr/share/doc/apus/changelog.gz says what changed.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
TEXT
}

# The libraries that the binary needs, with the versions from which on they have what it uses.
library_dependencies() {
    local place=$build/shlibdeps
    rm -rf "$place"
    mkdir -p "$place/debian"
    printf 'Source: apus\n\nPackage: apus\nArchitecture: any\n' >"$place/debian/control"
    (cd "$place" && dpkg-shlibdeps -O "$binary" 2>/dev/null) | sed -n 's/^shlibs:Depends=//p'
}

control_file() {
    local libraries
    libraries=$(library_dependencies)
    [ -n "$libraries" ] || die "dpkg-shlibdeps names no library for $binary"
    cat <<TEXT
Package: apus
Version: $version-$revision
Architecture: $(dpkg --print-architecture)
Maintainer: $maintainer
Installed-Size: $(du -k -s --apparent-size --exclude DEBIAN "$stage" | cut -f 1)
Depends: $libraries, adduser
Pre-Depends: init-system-helpers (>= 1.54~)
Recommends: ca-certificates
Suggests: sqlite3
Section: net
Priority: optional
Description: persistent message relay broker with one SQLite file
 Apus records messages that clients send it over TCP, each with what is needed
 to read it again, and relays them to subscribers, live or from any point of
 the past. An acknowledged message is on the disk. The history is a table of
 one SQLite file, which can be queried while the broker runs.
 .
 This package has the broker, as a service for systemd, and the commands that
 publish, subscribe and look around.
TEXT
}

make_debian_package() {
    local name pages=()
    name=apus_$version-${revision}_$(dpkg --print-architecture).deb
    rm -rf "$stage" "$build/pages"
    put "$binary" usr/bin/apus 0755
    put "$build/system.yaml" etc/apus/apus.yaml
    put config/apus.service lib/systemd/system/apus.service
    for page in "$build"/man/*; do put_compressed "$page" "usr/share/man/man${page##*.}/$(basename "$page")"; done
    put "$build/completions/bash" usr/share/bash-completion/completions/apus
    put "$build/completions/zsh" usr/share/zsh/vendor-completions/_apus
    put "$build/completions/fish" usr/share/fish/vendor_completions.d/apus.fish
    put config/debian/copyright usr/share/doc/apus/copyright
    put_compressed "$build/THIRD-PARTY.txt" usr/share/doc/apus/THIRD-PARTY.txt
    put_compressed CHANGELOG.md usr/share/doc/apus/changelog
    for page in docs/*.md; do pages+=("$page=${page#docs/}.gz"); done
    shipped_pages "$build/pages" "${pages[@]}" config/alerts.yaml=examples/alerts.yaml \
        config/grafana-dashboard.json=examples/grafana-dashboard.json
    for page in docs/*.md; do put_compressed "$build/pages/${page#docs/}.gz" "usr/share/doc/apus/${page#docs/}"; done
    for file in alerts.yaml grafana-dashboard.json; do put "config/$file" "usr/share/doc/apus/examples/$file"; done
    debian_changelog >"$build/changelog.Debian"
    put_compressed "$build/changelog.Debian" usr/share/doc/apus/changelog.Debian
    put config/debian/lintian-overrides usr/share/lintian/overrides/apus
    for script in postinst prerm postrm; do put "config/debian/$script" "DEBIAN/$script" 0755; done
    printf '/etc/apus/apus.yaml\n' >"$build/conffiles"
    put "$build/conffiles" DEBIAN/conffiles
    control_file >"$build/control"
    put "$build/control" DEBIAN/control
    (cd "$stage" && find . -type f -not -path './DEBIAN/*' -printf '%P\n' | sort | xargs -d '\n' md5sum) >"$build/md5sums"
    put "$build/md5sums" DEBIAN/md5sums
    fix_times "$stage"
    dpkg-deb --root-owner-group -Zxz --build "$stage" "$output/$name" >&2
    say "made $output/$name"
}

need_swift
need_packages build
need_programs
SOURCE_DATE_EPOCH=$(epoch)
export SOURCE_DATE_EPOCH
build_binary
scripts/licences.sh "$build/checkouts" >"$build/THIRD-PARTY.txt"
rm -rf "$build/man"
make_manual
make_completions
system_configuration >"$build/system.yaml"
mkdir -p "$output"
rm -f "$output"/apus[-_]*.tar.gz "$output"/apus[-_]*.deb "$output/SHA256SUMS"
make_tarball
make_debian_package
rm -rf "$stage"
(cd "$output" && sha256sum apus[-_]* >SHA256SUMS && cat SHA256SUMS)
