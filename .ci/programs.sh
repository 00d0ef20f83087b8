#!/bin/sh
# The programs that tests use besides Python's, as far as this Debian or Ubuntu lacks them.
set -eu

packages=
need() { command -v "$1" >/dev/null || PATH=$PATH:/usr/sbin command -v "$1" >/dev/null || packages="$packages $2"; }
need make make
# The exports are read back by other programs; fetching is tested over TLS.
need pdftotext poppler-utils
need qpdf qpdf
need openssl openssl
# The page is tested in a real browser.
need chromium chromium
# Metadata is written by it, and read back.
need exiftool libimage-exiftool-perl
# Metrics, alerts and the reverse proxy are tested with the real ones.
need prometheus prometheus
need nginx nginx-light
# What copies of the service share.
need redis-server redis-server
# Scripts are read by tesseract, on pages drawn in these fonts.
need tesseract tesseract-ocr
languages=$(tesseract --list-langs 2>/dev/null || true)
for language in rus ell ara heb hin tha kor; do
    case "$languages" in *"$language"*) ;; *) packages="$packages tesseract-ocr-$language" ;; esac
done
need_font() { [ -n "$(find /usr/share/fonts -name "$1.*" 2>/dev/null)" ] || packages="$packages $2"; }
need_font FreeSerif fonts-freefont-ttf
need_font Amiri-Regular fonts-hosny-amiri
need_font Lohit-Devanagari fonts-lohit-deva
need_font Garuda fonts-thai-tlwg
need_font NanumMyeongjo fonts-nanum
# Only what the machine lacks: a Python that was not installed by apt brings its own venv.
"${PYTHON:-python3}" -c 'import ensurepip' 2>/dev/null || packages="$packages python3-venv"
[ -n "$packages" ] || exit 0

root=
[ "$(id -u)" = 0 ] || root=sudo
export DEBIAN_FRONTEND=noninteractive
$root apt-get update -q
# shellcheck disable=SC2086 # Several packages are several words.
$root apt-get install -qy --no-install-recommends $packages
# Debian starts what it installs; the tests start their own.
if [ -d /run/systemd/system ]; then
    for service in nginx prometheus redis-server; do
        case "$packages" in *"$service"*) $root systemctl disable --now "$service" ;; esac
    done
fi
