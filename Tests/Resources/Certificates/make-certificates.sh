#!/usr/bin/env bash
# Makes the certificates in this folder, for tests only: valid for a hundred years, so that no test fails one morning.
# Needs OpenSSL 3. The keys of the authorities are thrown away; to change one certificate, make all of them again:
#
#   Tests/Resources/Certificates/make-certificates.sh
set -euo pipefail

folder="$(cd "$(dirname "$0")" && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"

new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }

printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=optional\n' >config

# NAME SUBJECT BEGIN END SIGNER…: asks for a certificate with what stands in `extensions`, and signs it.
sign() {
    local name="$1" subject="$2" begin="$3" end="$4"
    shift 4
    : >index
    openssl req -new -key "$name.key" -subj "$subject" -out "$name.csr" 2>/dev/null
    openssl ca -batch -notext -config config "$@" -in "$name.csr" -out "$name.pem" \
        -startdate "$begin" -enddate "$end" -extfile extensions 2>/dev/null
}

# NAME: an authority.
authority() {
    new_key "$1.key"
    printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n' >extensions
    sign "$1" "/CN=Apus tests: $1" 20200101000000Z 21200101000000Z -selfsign -keyfile "$1.key"
}

# AUTHORITY NAME SUBJECT USAGE ALTERNATIVE-NAMES [BEGIN END]: a certificate and its key.
certificate() {
    new_key "$2.key"
    printf 'basicConstraints=critical,CA:FALSE\nextendedKeyUsage=%s\nsubjectAltName=%s\n' "$4" "$5" >extensions
    sign "$2" "$3" "${6:-20200101000000Z}" "${7:-21200101000000Z}" -cert "$1.pem" -keyfile "$1.key"
}

authority ca
authority other-ca
here="DNS:localhost,IP:127.0.0.1,IP:::1"
certificate ca server "/CN=localhost" serverAuth "$here"
certificate ca elsewhere "/CN=elsewhere" serverAuth "DNS:elsewhere.example"
certificate ca expired "/CN=localhost" serverAuth "$here" 20000101000000Z 20010101000000Z
certificate other-ca other-server "/CN=localhost" serverAuth "$here"
certificate ca client "/CN=sensor-7" clientAuth "DNS:sensor-7.example"
certificate ca unnamed-client "/" clientAuth "email:sensor-8@example.org,URI:spiffe://example.org/sensor-8"
certificate other-ca stranger "/CN=sensor-7" clientAuth "DNS:sensor-7.example"
openssl pkey -in server.key -aes256 -passout pass:secret -out encrypted.key

rm -f "$folder"/*.pem "$folder"/*.key
rm ca.key other-ca.key
cp ./*.key "$folder"
for file in ca other-ca server elsewhere expired other-server client unnamed-client stranger; do
    cp "$file.pem" "$folder"
done
chmod 600 "$folder"/*.key
echo "made: $(ls "$folder" | tr '\n' ' ')"
