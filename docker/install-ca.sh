#!/bin/sh
# Lets this machine, or a running container, trust a certificate authority.
# usage: install-ca.sh URL|FILE [--sha256 FINGERPRINT] [--container NAME | --to FOLDER] [--name NAME]
#
#   URL|FILE       one certificate, PEM or DER. A server is not verified when it is asked: the very
#                  authority may have signed its certificate. What is trusted is the fingerprint.
#   --sha256       the certificate's SHA-256 fingerprint, as its owner has told it to you by another
#                  way. Without it the certificate is shown, and nothing is done.
#   --container    into the trust store of this running container; it is gone when the container is
#   --to           into this folder only, e.g. docker/ca-certificates, for the next build of images
#   --name         of the file; default: the host or file that it came from
#
# Exit status: 0 installed; 1 not installed, though it could be; 2 wrong usage; 3 only shown;
# 4 another fingerprint; 5 no certificate of an authority that is valid now.
#
# Variables, for systems that keep their store elsewhere: CA_ANCHORS (folder of added certificates),
# CA_UPDATE (command that makes the store anew), CA_BUNDLE (file of the store), DOCKER (docker).
set -eu
umask 022

fail() {
  status=$1
  shift
  echo "install-ca: $*" >&2
  exit "$status"
}
usage() {
  sed -n 's/^# usage: //p' "$0" >&2
  exit 2
}

source='' expected='' container='' folder='' name=''
while [ $# -gt 0 ]; do
  case $1 in
  --sha256 | --container | --to | --name)
    [ $# -ge 2 ] || usage
    case $1 in
    --sha256)
      expected=$(printf '%s' "$2" | tr 'A-F' 'a-f' | tr -d ': ')
      printf '%s\n' "$expected" | grep -Eqx '[0-9a-f]{64}' ||
        fail 2 "--sha256 is 64 hexadecimal digits; colons may stand between them"
      ;;
    --container) container=$2 ;;
    --to) folder=$2 ;;
    --name) name=$2 ;;
    esac
    shift 2
    ;;
  -*) usage ;;
  *)
    [ -z "$source" ] || usage
    source=$1
    shift
    ;;
  esac
done
[ -n "$source" ] || usage
[ -z "$container" ] || [ -z "$folder" ] || usage
command -v openssl >/dev/null || fail 1 "openssl is not installed"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# --- Fetch it.
case $source in
http://* | https://*)
  if command -v curl >/dev/null; then
    curl --insecure --silent --show-error --fail --location --max-redirs 3 --max-time 60 \
      --proto '=http,https' --proto-redir '=http,https' --max-filesize 1000000 --output "$work/fetched" -- "$source" ||
      fail 1 "cannot be fetched: $source"
  elif command -v wget >/dev/null; then
    wget --no-check-certificate --quiet --timeout=60 --output-document="$work/fetched" -- "$source" ||
      fail 1 "cannot be fetched: $source"
  else
    fail 1 "neither curl nor wget is installed: fetch $source yourself, and give the file"
  fi
  origin=${source#*://}
  origin=${origin%%[/:?]*}
  ;;
*)
  [ -r "$source" ] || fail 1 "cannot read $source"
  cp -- "$source" "$work/fetched"
  origin=$(basename -- "$source")
  origin=${origin%.*}
  ;;
esac
name=$(printf '%s' "${name:-$origin}" | tr -c 'A-Za-z0-9.-' '-' | sed 's/^[.-]*//')

# --- Read it: one certificate, whatever its form and whatever stands around it.
number=$(grep -c -e '-----BEGIN CERTIFICATE-----' "$work/fetched" || true)
[ "$number" -le 1 ] || fail 5 "$source holds $number certificates: install each from a file of its own"
form=PEM
[ "$number" -eq 1 ] || form=DER
openssl x509 -inform "$form" -in "$work/fetched" -out "$work/ca.crt" 2>/dev/null ||
  fail 5 "$source is no certificate, neither PEM nor DER"

field() { openssl x509 -in "$work/ca.crt" -noout -nameopt RFC2253,-esc_msb,utf8 "$1" | sed 's/^[^=]*=//'; }
fingerprint=$(openssl x509 -in "$work/ca.crt" -noout -fingerprint -sha256 | sed 's/.*=//' | tr 'A-F' 'a-f' | tr -d ':')
cat <<SHOWN
subject:    $(field -subject)
issuer:     $(field -issuer)
valid from: $(field -startdate)
valid to:   $(field -enddate)
SHA-256:    $fingerprint
SHOWN

# --- Is it the certificate of an authority, and good now?
constraints=$(openssl x509 -in "$work/ca.crt" -noout -ext basicConstraints,keyUsage 2>/dev/null || true)
case $constraints in
*CA:TRUE*) ;;
*) fail 5 "not the certificate of an authority (no basic constraint CA:TRUE)" ;;
esac
case $constraints in
*'Key Usage'*'Certificate Sign'*) ;;
*'Key Usage'*) fail 5 "not the certificate of an authority that may sign certificates (key usage)" ;;
esac
judgement=$(openssl verify -partial_chain -no-CApath -CAfile "$work/ca.crt" "$work/ca.crt" 2>&1) || {
  case $judgement in
  *'has expired'*) fail 5 "it has expired" ;;
  *'not yet valid'*) fail 5 "it is not valid yet: is the clock of this machine right?" ;;
  *) fail 5 "it cannot be used: $(printf '%s' "$judgement" | sed -n 's/^error [^:]*: //p')" ;;
  esac
}
if [ "$(field -subject)" != "$(field -issuer)" ]; then
  echo "note: another authority has signed it; many programs want that one's certificate as well"
fi

# --- Is it the one that was meant?
if [ -z "$expected" ]; then
  echo "Nothing was installed. Ask the owner of this authority for the fingerprint by another way; if it is" >&2
  echo "this one, run the command again with --sha256 $fingerprint" >&2
  exit 3
fi
[ "$fingerprint" = "$expected" ] ||
  fail 4 "another certificate than the one that is meant: --sha256 says $expected"
file=$name-$(printf '%.8s' "$fingerprint").crt

# --- Install it.
if [ -n "$folder" ]; then
  [ -d "$folder" ] || fail 1 "there is no folder $folder"
  cp "$work/ca.crt" "$folder/$file"
  echo "written: $folder/$file"
  exit 0
fi

# inside COMMAND...: run it where the store is.
inside() {
  if [ -n "$container" ]; then
    "${DOCKER:-docker}" exec --user 0 "$container" "$@"
  else
    "$@"
  fi
}
# shellcheck disable=SC2016 # the inner shell's own
has() { inside sh -c 'PATH=$PATH:/usr/sbin; command -v "$0" >/dev/null' "$1"; }

inside true || fail 1 "container $container cannot be entered: is it running?"
if [ -n "${CA_UPDATE:-}" ]; then
  update=$CA_UPDATE
elif has update-ca-certificates; then # Debian, Ubuntu, Alpine
  : "${CA_ANCHORS:=/usr/local/share/ca-certificates}" "${CA_BUNDLE:=/etc/ssl/certs/ca-certificates.crt}"
  update='update-ca-certificates'
elif has update-ca-trust; then # Red Hat, Fedora
  : "${CA_ANCHORS:=/etc/pki/ca-trust/source/anchors}" "${CA_BUNDLE:=/etc/pki/tls/certs/ca-bundle.crt}"
  update='update-ca-trust extract'
else
  fail 1 "neither update-ca-certificates nor update-ca-trust is there: install the package ca-certificates"
fi
if [ -z "${CA_ANCHORS:-}" ] || [ -z "${CA_BUNDLE:-}" ]; then fail 2 "CA_UPDATE needs CA_ANCHORS and CA_BUNDLE"; fi
installed=$CA_ANCHORS/$file

place() {
  if [ -n "$container" ]; then
    "${DOCKER:-docker}" cp "$work/ca.crt" "$container:$installed" >/dev/null
  else
    cp "$work/ca.crt" "$installed"
  fi
}
make_store() { inside sh -c "PATH=\$PATH:/usr/sbin; $update" >/dev/null 2>"$work/complaints"; }
undo() {
  if inside rm -f "$installed"; then make_store || true; fi
  fail 1 "$*"
}
place || fail 1 "$installed cannot be written: be root; a container must not be read-only"
make_store || undo "$update has failed: $(cat "$work/complaints")"

# --- Does the store know it now?
inside cat "$CA_BUNDLE" >"$work/bundle" || undo "$CA_BUNDLE cannot be read"
sed '/^-----/d' "$work/ca.crt" | tr -d '\n' >"$work/body"
tr -d '\r\n' <"$work/bundle" | grep -qFf "$work/body" || undo "it is not in $CA_BUNDLE"
openssl verify -partial_chain -no-CApath -CAfile "$work/bundle" "$work/ca.crt" >/dev/null 2>&1 ||
  undo "$CA_BUNDLE does not let it be verified"
echo "installed: $installed, and in $CA_BUNDLE. Programs that run already take it up when they are restarted."
