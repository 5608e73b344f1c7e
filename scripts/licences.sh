#!/usr/bin/env bash
# Prints the licences and notices of everything that is linked into the binary, each text once, with whom it is from:
#
#   scripts/licences.sh .build/checkouts > THIRD-PARTY.txt
set -euo pipefail
export LC_ALL=C

checkouts=${1:?the folder that SwiftPM has checked the dependencies out into}
[ -d "$checkouts" ] || {
    echo "error: there is no folder $checkouts" >&2
    exit 1
}

# The texts of the packages and of what they carry with them, and that of the Swift runtime.
texts() {
    (cd "$checkouts" && find . -type f \( -iname 'LICENSE*' -o -iname 'LICENCE*' -o -iname 'NOTICE*' -o -iname 'COPYING*' \) \
        -not -path '*/.git/*' -not -path '*/Tests/*' -not -path '*/Benchmarks/*' -not -path '*/dev/*' \
        -not -name '*.swift' -not -name '*.sh' -printf '%P\n' | sort)
}

toolchain=$(dirname "$(dirname "$(readlink -f "$(command -v swift || echo /)")")")
declare -A whose=() text=()
order=()
# remember FILE NAME
remember() {
    local sum
    sum=$(sha256sum <"$1")
    if [ -z "${whose[$sum]:-}" ]; then
        order+=("$sum")
        text[$sum]=$1
    fi
    whose[$sum]+="    $2"$'\n'
}

while IFS= read -r file; do remember "$checkouts/$file" "$file"; done < <(texts)
if [ -e "$toolchain/share/swift/LICENSE.txt" ]; then
    remember "$toolchain/share/swift/LICENSE.txt" "Swift's standard library and Foundation"
fi
[ "${#order[@]}" -gt 0 ] || {
    echo "error: there is no licence in $checkouts" >&2
    exit 1
}

printf 'Apus is linked with the following software. Each text stands behind the names of those that it is from.\n'
for sum in "${order[@]}"; do
    printf '\n%s\n\n%s\n' "$(printf '=%.0s' {1..80})" "${whose[$sum]}"
    cat "${text[$sum]}"
done
