#!/usr/bin/env bash
# Makes the secrets of compose.users.yaml, in docker/secrets: a password for each of two users, and in a folder of its
# own, which the broker sees, the users file with what it needs to check them. What is there already stays. The image
# apus:local has to be built before; it makes the file, so nothing else needs to be installed.
#
#   docker/make-secrets.sh
#   ENGINE=podman docker/make-secrets.sh
set -euo pipefail
cd "$(dirname "$0")"

engine=${ENGINE:-docker}
# What follows is for nobody but this user, until it says otherwise.
umask 077
mkdir -p secrets/broker

# in_container PROGRAM ARGUMENT...: one of the image's, as its root, where secrets/ is /secrets.
in_container() {
    "$engine" run --rm --network none --user 0:0 --volume "$PWD/secrets:/secrets" --workdir /secrets \
        --entrypoint "$1" apus:local "${@:2}"
}

# make_user NAME RIGHT FILTER: with a new password, in secrets/NAME.password.
make_user() {
    local file=secrets/$1.password
    if [ -e "$file" ]; then
        printf 'docker/%s is there; it stays\n' "$file" >&2
        return
    fi
    head -c 24 /dev/urandom | base64 | tr -d '\n' > "$file"
    in_container apus user add "$1" --users broker/users.yaml --password-file "$1.password" "--$2" "$3" || {
        rm -f "$file"
        return 1
    }
}

make_user publisher publish 'demo/#'
make_user subscriber subscribe 'demo/#'

# What is mounted has the owner and the mode that it has here. The users file has to be root's, and readable for the
# broker's group, which is the same in every container, and for nobody else: the broker refuses another one. Its folder
# is mounted, not the file, because `apus user` puts a new file in its place. The clients' passwords may be read by who
# comes to them: the folder around them is what keeps others of this machine out.
in_container chown 0:12787 broker broker/users.yaml
in_container chmod 0750 broker
in_container chmod 0640 broker/users.yaml
chmod 0444 secrets/*.password
printf 'docker/secrets is ready\n' >&2
