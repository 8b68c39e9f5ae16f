#!/usr/bin/env bash
# What the browser tests need beside Python: Chromium (Debian's package, or the one that CHROMIUM names) and the
# accessibility checks from npm. Fails with what to do; never lets a test be skipped.
set -eu
cd "$(dirname "$0")"
browser=${CHROMIUM:-chromium}
if ! command -v "$browser" >/dev/null; then
  if ! command -v apt-get >/dev/null; then
    echo "a browser is needed: install Chromium, or name one by CHROMIUM=/path/to/chromium" >&2
    exit 1
  fi
  as_root=
  [ "$(id -u)" -eq 0 ] || as_root="sudo -n"
  echo "installing Chromium, once"
  $as_root apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends chromium fonts-noto-cjk >/dev/null
fi
command -v npm >/dev/null || { echo "npm is needed for the accessibility checks: install Node.js" >&2; exit 1; }
if ! cmp -s package-lock.json node_modules/.installed; then
  npm ci --silent
  cp package-lock.json node_modules/.installed
fi
"$browser" --version
