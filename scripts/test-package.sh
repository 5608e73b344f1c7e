#!/usr/bin/env bash
# Makes the packages with scripts/package.sh, and tries them on a bare Debian: what is in them, installing, starting the
# service's command by hand, publishing and reading, backing up and restoring, upgrading with a changed configuration,
# removing, purging; and the service itself, where systemd runs in a container.
#
#   scripts/test-package.sh
#
# As root, with a Swift toolchain, on a Debian or Ubuntu (it installs debootstrap and the linters). The bare Debian is a
# folder, .build-package/tree; nothing of it stays behind.
set -euo pipefail

# shellcheck source=scripts/setup.sh
. "$(dirname "$0")/setup.sh"
# shellcheck source=scripts/trials.sh
. "$root/scripts/trials.sh"
cd "$root"

work=$root/.build-package
outcomes=$work/outcomes
tree=$work/tree
dist=$work/dist
patience=60

main() {
    need_swift
    may_install debootstrap || return 0
    need_tools debootstrap dpkg-dev binutils python3 lintian mandoc man-db systemd zsh fish curl openssl "${podman_packages[@]}"
    rm -rf "$work"
    mkdir -p "$work"
    : >"$outcomes"
    trap clean_up EXIT
    configure_podman "$work/podman"
    # Of now, though somebody commits meanwhile: the packages are made twice and compared.
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
    export SOURCE_DATE_EPOCH
    # A fresh clone compiles everything.
    check_limit=3600 check "scripts/package.sh makes the packages" scripts/package.sh --output "$dist"
    if [ -e "$dist/SHA256SUMS" ]; then
        check_packages
        debian_tree "$tree"
        alone bash "$0" --inside phase_install
        alone --net bash "$0" --inside phase_use
        alone --net bash "$0" --inside phase_service
    fi
    sum_up
}

clean_up() {
    forget_podman
    rm -rf "$work"
}

deb() { echo "$dist"/apus_*.deb; }

# MARK: What is in the packages

check_packages() {
    mkdir -p "$work/content" "$work/tarball"
    dpkg-deb -x "$(deb)" "$work/content"
    tar -C "$work/tarball" --strip-components=1 -xzf "$dist"/apus-*.tar.gz
    check "the checksums are those of the packages" test_checksums
    check "made again from the same binary, the packages are the same bytes" test_reproducible
    check "the binary needs nothing but common libraries" test_libraries
    check "tarball and package have the same binary, stripped" test_binaries
    check "lintian finds no error" lintian --allow-root --tag-display-limit 0 --fail-on error "$(deb)"
    check "the manual pages are well-formed, one for each command" test_manual
    check "the completions are well-formed" test_completions
    check "the licences of what is linked are there" test_licences
    check "the pages, alert rules and dashboard are there, and the tarball's pages link to what is there" test_pages
    check "systemd understands the unit" test_unit
    check "the unit is denied what it does not need" test_hardening
}

test_checksums() { (cd "$dist" && sha256sum -c SHA256SUMS && [ "$(wc -l <SHA256SUMS)" -eq 2 ]); }

test_reproducible() {
    scripts/package.sh --output "$work/again"
    diff -r "$dist" "$work/again"
}

test_libraries() {
    local needed
    needed=$(readelf -d "$work/content/usr/bin/apus" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
    echo "$needed"
    expect_code 1 grep -vxE 'lib(sqlite3|z|m|stdc\+\+|gcc_s|c|dl|pthread|rt|util|resolv)\.so\.[0-9]+|ld-linux.*' \
        <<<"$needed"
    # And looks for them only where the system has them.
    readelf -d "$work/content/usr/bin/apus" >"$work/dynamic"
    expect_code 1 grep -E 'R(UN)?PATH' "$work/dynamic"
    grep BIND_NOW "$work/dynamic"
}

test_binaries() {
    cmp "$work/content/usr/bin/apus" "$work/tarball/bin/apus"
    readelf -S "$work/tarball/bin/apus" >"$work/sections"
    expect_code 1 grep -F .debug_ "$work/sections"
    [ "$(stat -c %a "$work/tarball/bin/apus")" = 755 ]
}

test_manual() {
    local page output commands
    for page in "$work"/tarball/share/man/man*/*; do
        output=$(mandoc -Tlint -W warning "$page" 2>&1) || {
            echo "$output"
            return 1
        }
        output=$(LC_ALL=C.UTF-8 MANROFFSEQ='' man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
        [ -z "$output" ] || {
            echo "$page: $output"
            return 1
        }
    done
    commands=$("$work/tarball/bin/apus" --help | sed -n '/SUBCOMMANDS:/,$s/^  \([a-z]*\) .*/\1/p')
    [ -n "$commands" ]
    for page in $commands; do
        [ "$page" = See ] || ls "$work/content/usr/share/man/man1/apus-$page.1.gz"
    done
    ls "$work/content/usr/share/man/man5/apus.yaml.5.gz"
}

test_completions() {
    bash -n "$work/content/usr/share/bash-completion/completions/apus"
    zsh -n "$work/content/usr/share/zsh/vendor-completions/_apus"
    fish --no-execute "$work/content/usr/share/fish/vendor_completions.d/apus.fish"
}

test_licences() {
    grep -q 'Apache' "$work/content/usr/share/doc/apus/copyright"
    zcat "$work/content/usr/share/doc/apus/THIRD-PARTY.txt.gz" >"$work/third-party"
    for package in "$root"/.build-release/checkouts/*/; do
        grep -qF "    $(basename "$package")/" "$work/third-party" || {
            echo "no licence of $(basename "$package")"
            return 1
        }
    done
}

test_pages() {
    local page target
    for page in docs/*.md; do
        zcat "$work/content/usr/share/doc/apus/${page#docs/}.gz" | sed -n 1p | grep '^# '
        [ -s "$work/tarball/$page" ]
    done
    for page in alerts.yaml grafana-dashboard.json; do
        cmp "config/$page" "$work/content/usr/share/doc/apus/examples/$page"
        cmp "config/$page" "$work/tarball/share/apus/$page"
    done
    cmp "$work/content/etc/apus/apus.yaml" "$work/tarball/config/apus.yaml"
    while IFS=: read -r page target; do
        [ -e "$(dirname "$page")/$target" ] || {
            echo "$page links to $target, which is not there"
            return 1
        }
    done < <(grep -rHoP '\]\(\K(?!https?:|#)[^)#\s]+' "$work/tarball" --include '*.md')
}

# A copy that runs something that is there: the binary is not installed here.
unit_to_verify() {
    mkdir -p "$work/unit"
    sed 's|^ExecStart=/usr/bin/apus.*|ExecStart=/bin/true|' "$work/content/lib/systemd/system/apus.service" \
        >"$work/unit/apus.service"
}

test_unit() {
    local output
    unit_to_verify
    output=$(systemd-analyze verify --man=no "$work/unit/apus.service" 2>&1)
    echo "$output"
    # It succeeds with unknown settings, too; it only says so.
    expect_code 1 grep -F apus.service <<<"$output"
}

test_hardening() {
    unit_to_verify
    # In tenths: 0 is denied everything, 100 nothing.
    systemd-analyze security --offline=yes --threshold=20 --no-pager "$work/unit/apus.service"
}

# MARK: On the bare Debian

way_in=(chroot "$tree" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8)
# As the service's user: what systemd does with User=apus.
to_apus=(setpriv --reuid apus --regid apus --init-groups --no-new-privs)

inside() { "${way_in[@]}" "$@"; }
as_apus() { inside "${to_apus[@]}" "$@"; }

mount_tree() {
    mount --bind "$tree" "$tree"
    mount -t proc proc "$tree/proc"
    echo '127.0.0.1 localhost' >"$tree/etc/hosts"
    mount --rbind /dev "$tree/dev"
}

# With the network: as people install it, with what it depends on.
phase_install() {
    mount_tree
    cp /etc/resolv.conf "$tree/etc/resolv.conf"
    cp "$dist"/* "$tree/root/"
    make_upgrade
    check "installs on a bare Debian, with what it depends on" test_installs
    check "the user, the folders and the users file are as they should be" test_ownership
    # For the service, for backups, and what the package recommends; the broker itself does not need them.
    inside env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
        ca-certificates procps sqlite3 sudo systemd-sysv >"$work/more.log" 2>&1 || tail -n 5 "$work/more.log"
}

test_installs() {
    inside apt-get -qq update
    inside env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "/root/$(basename "$(deb)")"
    inside dpkg -s apus | grep -x 'Status: install ok installed'
    inside apus --version
}

test_ownership() {
    inside stat -c '%U:%G %a' /var/lib/apus | grep -x 'apus:apus 750'
    inside stat -c '%U:%G %a' /etc/apus/users.yaml | grep -x 'root:apus 640'
    inside stat -c '%U:%G %a' /etc/apus/apus.yaml | grep -x 'root:root 644'
    inside getent passwd apus | grep -E ':/var/lib/apus:/usr/sbin/nologin$'
    # Where there is a service manager it is started, now and at each boot.
    [ -L "$tree/etc/systemd/system/multi-user.target.wants/apus.service" ]
}

# The next version, with another sample configuration.
make_upgrade() {
    local next=$work/next
    dpkg-deb -R "$(deb)" "$next"
    sed -i 's/^Version: .*/&.1/' "$next/DEBIAN/control"
    echo '# What the next version adds.' >>"$next/etc/apus/apus.yaml"
    dpkg-deb --root-owner-group -Znone --build "$next" "$tree/root/next.deb" >/dev/null
}

# The service's own command line, by hand. It says on $work/broker.log what it says.
start_broker() {
    local command
    command=$(sed -n 's/^ExecStart=//p' "$tree/lib/systemd/system/apus.service")
    inside install -d -o apus -g apus /run/apus
    # Each program of this line becomes the next one, so that the signals of stop_broker reach the broker.
    # shellcheck disable=SC2086 # one word an argument
    "${way_in[@]}" "${to_apus[@]}" $command >"$work/broker.log" 2>&1 &
    broker=$!
    eventually "$patience" is_ready || {
        cat "$work/broker.log"
        return 1
    }
}

is_ready() { inside apus health -q >/dev/null 2>&1; }

# Succeeds if the broker ended as it should.
stop_broker() {
    kill -TERM "$broker"
    expect_code 0 wait "$broker" || {
        cat "$work/broker.log"
        return 1
    }
}

messages() { inside apus history --json | wc -l; }

test_configuration() {
    as_apus apus serve --config /etc/apus/apus.yaml --check-config
}

test_publishes() {
    start_broker
    [ "$(ps -o user= -p "$broker" | tr -d ' ')" != root ]
    inside apus pub -v greetings/en -m hello | grep -x 'seq 1 synced'
    inside apus pub greetings/ja -m こんにちは --charset shift_jis
    inside apus history --json | grep -F 'こんにちは'
    inside stat -c '%U:%G' /var/lib/apus/apus.db | grep -x apus:apus
    stop_broker
    # In order: everything is in the one file.
    [ ! -s "$tree/var/lib/apus/apus.db-wal" ]
}

# The commands of docs/OPERATIONS.md, while messages come in.
test_backup() {
    local copied publisher
    start_broker
    inside apus pub load/test -m x --repeat 5000 --rate 2000/s -q &
    publisher=$!
    eventually "$patience" has_more_than 500
    inside sqlite3 'file:/var/lib/apus/apus.db?mode=ro' "VACUUM INTO '/root/copy.db'"
    copied=$(inside sqlite3 /root/copy.db 'select count(*) from history')
    wait "$publisher"
    [ "$copied" -gt 500 ]
    [ "$copied" -lt "$(messages)" ]
    stop_broker
    inside sqlite3 /root/copy.db 'pragma integrity_check' | grep -x ok
    # Restored, it is a log like any other: a broker goes on where the copy ends.
    inside mv /var/lib/apus /var/lib/apus.before
    inside install -d -o apus -g apus -m 0750 /var/lib/apus
    inside install -o apus -g apus -m 0640 /root/copy.db /var/lib/apus/apus.db
    start_broker
    [ "$(messages)" -eq "$copied" ]
    inside apus pub load/after -m restored
    inside apus history load/after --json | grep -F '"text":"restored"'
    stop_broker
    inside rm -r /var/lib/apus /root/copy.db
    inside mv /var/lib/apus.before /var/lib/apus
}

has_more_than() { [ "$(messages)" -gt "$1" ]; }

# What docs/OPERATIONS.md looks at.
test_watches() {
    start_broker
    as_apus apus doctor --config /etc/apus/apus.yaml
    inside apus status | grep -F apus.db
    inside apus top --once | grep -F messages
    curl -sS --fail http://127.0.0.1:2788/healthz
    curl -sS --fail http://127.0.0.1:2788/readyz
    curl -sS --fail http://127.0.0.1:2788/metrics | grep '^apus_'
    stop_broker
}

# The sample's listener with TLS, with a certificate made as docs/OPERATIONS.md does; and another one while it runs.
test_tls() {
    cp "$tree/etc/apus/apus.yaml" "$work/apus.yaml"
    make_certificate
    inside sed -i -e '/^  #- address: 127.0.0.1:2787/ s/#//' \
        -e '/# With TLS (port 2789)/,/client-certificates: none/ s/#\([a-z-]\)/\1/' /etc/apus/apus.yaml
    test_configuration
    start_broker
    inside apus pub -v greetings/tls -m hello -s apuss://localhost:2789 --ca /etc/apus/server.pem | grep ' synced$'
    # Who does not trust it does not talk to it; and plain bytes get nowhere.
    expect_code 77 inside apus pub greetings/tls -m hello -s apuss://localhost:2789
    expect_code 69 inside apus pub greetings/tls -m hello -s apus://localhost:2789
    cp "$tree/etc/apus/server.pem" "$tree/root/old.pem"
    make_certificate
    kill -HUP "$broker"
    eventually "$patience" shows_new_certificate
    expect_code 77 inside apus health -s apuss://localhost:2789 --ca /root/old.pem
    stop_broker
    cp "$work/apus.yaml" "$tree/etc/apus/apus.yaml"
    inside rm /etc/apus/server.key /etc/apus/server.pem
}

make_certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout "$tree/root/server.key" -out "$tree/root/server.pem"
    inside install -o root -g apus -m 0640 /root/server.key /etc/apus/
    inside install -m 0644 /root/server.pem /etc/apus/
}

shows_new_certificate() { inside apus health -q -s apuss://localhost:2789 --ca /etc/apus/server.pem; }

# What an administrator does next: users.
test_users() {
    inside sed -i 's|^#users: /etc/apus/users.yaml|users: /etc/apus/users.yaml|' /etc/apus/apus.yaml
    inside sh -c 'printf secret >/root/password'
    inside apus user add anna --password-file /root/password --publish 'greetings/#' --history '#'
    inside stat -c '%U:%G %a' /etc/apus/users.yaml | grep -x 'root:apus 640'
    start_broker
    expect_code 77 inside apus pub greetings/en -m x
    inside apus pub greetings/en -m hello --user anna --password-file /root/password
    expect_code 77 inside apus pub other -m x --user anna --password-file /root/password
    stop_broker
}

test_upgrades() {
    local before
    before=$(sha256sum "$tree/etc/apus/apus.yaml" "$tree/etc/apus/users.yaml")
    inside env DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold -i /root/next.deb
    inside dpkg -s apus | grep -E '^Version: .*\.1$'
    # What was changed stays, and what the new version has lies beside it.
    sha256sum -c --quiet <<<"$before"
    tail -n 1 "$tree/etc/apus/apus.yaml.dpkg-dist" | grep -F 'next version'
    start_broker
    inside apus history --json --user anna --password-file /root/password | grep -F 'こんにちは'
    stop_broker
}

test_removes() {
    inside dpkg -r apus
    [ ! -e "$tree/usr/bin/apus" ]
    [ ! -e "$tree/lib/systemd/system/apus.service" ]
    # Messages, configuration and users stay, and are taken up by the next installation.
    [ -s "$tree/var/lib/apus/apus.db" ]
    [ -e "$tree/etc/apus/users.yaml" ]
    grep -x 'users: /etc/apus/users.yaml' "$tree/etc/apus/apus.yaml"
    inside dpkg -i /root/next.deb
    start_broker
    inside apus history --json --user anna --password-file /root/password | grep -F 'こんにちは'
    stop_broker
}

test_purges() {
    inside dpkg --purge apus
    [ ! -e "$tree/etc/apus" ]
    [ ! -e "$tree/var/lib/apus" ]
    [ -z "$(find "$tree"/etc "$tree"/usr "$tree"/var/lib -path "$tree/var/lib/dpkg" -prune -o -iname '*apus*' -print)" ]
}

# Without the network, so that every port is free.
phase_use() {
    mount_tree
    ip link set lo up
    check "the packaged configuration is in order" test_configuration
    check "starts by hand as its user, takes messages, stops in order" test_publishes
    if [ -x "$tree/usr/bin/sqlite3" ]; then
        check "is backed up while messages come in, and restored" test_backup
    else
        skip "is backed up while messages come in, and restored" "the package sqlite3 could not be installed"
    fi
    check "doctor, status, top and the HTTP door say that all is well" test_watches
    check "serves TLS with a certificate that is renewed while it runs" test_tls
    check "users that root adds are the broker's" test_users
    check "an upgrade keeps messages, users and a changed configuration" test_upgrades
    check "removing keeps messages, users and configuration" test_removes
    check "purging leaves nothing" test_purges
}

# MARK: As a service

service() { podman exec service "$@"; }

is_running() { service systemctl is-system-running 2>/dev/null | grep -xE 'running|degraded' >/dev/null; }

main_pid() { service systemctl show -P MainPID apus; }

restarts() { service systemctl show -P NRestarts apus; }

is_active() { service systemctl is-active apus >/dev/null; }

has_another_pid() { is_active && [ "$(main_pid)" -gt 0 ] && [ "$(main_pid)" -ne "$1" ]; }

# What the unit says when something went wrong.
journal() {
    service systemctl status --no-pager apus
    service journalctl --no-pager -u apus -n 30
}

# guide HEADING [NAME VALUE]…: what docs/OPERATIONS.md tells an administrator to do there, the first block of commands,
# done; with VALUE for each NAME that it has as an example.
guide() {
    local heading=$1 commands version
    version=$(basename "$(deb)")
    version=${version#apus_}
    commands=$(awk -v heading="$heading" '
        $0 == heading { found = 1 }
        /^```$/ && inside { exit }
        inside { print }
        found && /^```sh$/ { inside = 1 }' docs/OPERATIONS.md)
    [ -n "$commands" ]
    shift
    set -- amd64 "$(dpkg --print-architecture)" x86_64 "$(uname -m)" 0.1.0 "${version%%-*}" "$@"
    while [ "$#" -gt 0 ]; do
        commands=${commands//"$1"/"$2"}
        shift 2
    done
    echo "$commands"
    service bash -euc "export LC_ALL=C.UTF-8; cd /root; $commands"
}

test_service_starts() {
    guide '### Debian package'
    # It is active when the broker has said READY, not before.
    service systemctl is-active apus || {
        journal
        return 1
    }
    service systemctl is-enabled apus
    service apus pub -v greetings/de -m hallo | grep -x 'seq 2 synced'
    service apus health
    service systemctl show -P StatusText apus | grep .
    [ "$(restarts)" -eq 0 ]
}

test_service_is_confined() {
    local status
    status=/proc/$(main_pid)/status
    service grep -E '^NoNewPrivs:\s1$' "$status"
    service grep -E '^CapBnd:\s0{16}$' "$status"
    service grep -E '^Seccomp:\s2$' "$status"
    service stat -c %U "/proc/$(main_pid)" | grep -x apus
}

test_service_reloads() {
    local before
    before=$(main_pid)
    service sed -i 's|^  #level: notice|  level: debug|' /etc/apus/apus.yaml
    service systemctl reload apus
    # shellcheck disable=SC2317 # called by eventually
    says_so() { service journalctl --no-pager -u apus | grep 'log.level' >/dev/null; }
    eventually "$patience" says_so || {
        journal
        return 1
    }
    [ "$(main_pid)" -eq "$before" ]
}

test_service_restarts() {
    local before
    before=$(main_pid)
    [ "$before" -gt 1 ]
    service kill -9 "$before"
    eventually "$patience" has_another_pid "$before"
    service apus history --json | grep -F '"text":"hello"'
}

test_service_restores() {
    local copy
    guide '## Back up'
    copy=$(service sh -c 'ls /var/backups/apus')
    [[ $copy =~ ^apus-[0-9]{8}T[0-9]{6}Z.db$ ]]
    service apus pub greetings/late -m late
    guide '## Restore' apus-20261123T030000Z.db "$copy" | tee "$work/restored"
    grep -F hello "$work/restored"
    expect_code 1 grep -F late "$work/restored"
    service apus pub greetings/after -m after
}

test_service_upgrades() {
    local before
    before=$(main_pid)
    service dpkg --force-confdef --force-confold -i /root/next.deb
    eventually "$patience" has_another_pid "$before"
    service apus history --json | grep -F '"text":"hello"'
}

test_service_stays_down() {
    service sh -c 'echo no-such-option: 1 >>/etc/apus/apus.yaml'
    expect_code 1 service systemctl restart apus
    service systemctl show -P ExecMainStatus apus | grep -x 64
    service systemctl show -P ActiveState apus | grep -x failed
    service sed -i '/^no-such-option/d' /etc/apus/apus.yaml
    service systemctl restart apus
}

test_service_stops() {
    service systemctl stop apus
    service systemctl show -P Result apus | grep -x success
    service systemctl show -P ExecMainStatus apus | grep -x 0
    service dpkg --purge apus
    [ ! -e "$tree/var/lib/apus" ]
}

# Without a package manager, on a machine that has never seen Apus.
test_tarball() {
    service userdel apus
    guide '### Tarball'
    eventually "$patience" is_active
    service apus pub -v greetings/en -m hello | grep -x 'seq 1 synced'
    service stat -c '%U:%G %a' /var/lib/apus/apus.db | grep -x 'apus:apus 640'
    # Its configuration is that of a system service, as it stands.
    service grep -x 'db: /var/lib/apus/apus.db' /etc/apus/apus.yaml
    service grep -x '#users: /etc/apus/users.yaml' /etc/apus/apus.yaml
    service grep -x '      #certificate: /etc/apus/server.pem' /etc/apus/apus.yaml
    service grep -x '  address: 127.0.0.1:2788' /etc/apus/apus.yaml
    service test -e /usr/local/share/man/man1/apus.1
    service systemctl disable --now apus
}

# systemd in a container, on the same bare Debian: the real unit with all that it denies.
phase_service() {
    use_podman "$work/podman"
    ip link set lo up
    if [ ! -x "$tree/sbin/init" ] || ! start_systemd; then
        skip "the service under systemd" "systemd does not start in a container here"
        return 0
    fi
    check "installing starts the service, and it says when it is ready" test_service_starts
    check "the service is denied what the unit says" test_service_is_confined
    check "a reload changes the settings of the running broker" test_service_reloads
    check "a killed broker is started again" test_service_restarts
    check "the guide's way to back up and to restore works" test_service_restores
    check "an upgrade starts the new version" test_service_upgrades
    check "a mistake in the configuration is not tried again and again" test_service_stays_down
    check "stopping is orderly, and purging takes the service away" test_service_stops
    check "the tarball is installed as the guide says" test_tarball
    podman rm -f -t 10 service >/dev/null 2>&1
}

start_systemd() {
    podman run -d --name service --privileged --systemd=always -v /sys/fs/cgroup:/sys/fs/cgroup --rootfs "$tree" \
        /sbin/init >"$work/systemd.log" 2>&1 || return 1
    eventually "$patience" is_running
}

case ${1:-} in
"") main ;;
--inside) "$2" ;;
*) die "scripts/test-package.sh takes no arguments" ;;
esac
