#!/usr/bin/env bash
# Builds libpromem as packages take it: no path of this machine is in it, and libtorch is looked for beside the library alone.
#
#     scripts/package_library.sh FOLDER      cargo's target folder; the library is FOLDER/release/libpromem.so
#
# CARGO: another cargo. LIBTORCH: as for cargo build. RUSTFLAGS, CFLAGS and CXXFLAGS: kept.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?usage: scripts/package_library.sh FOLDER}
case $folder in /*) ;; *) folder=$PWD/$folder ;; esac

# Of two that fit, the compilers take the last: the narrower ones come last.
separator=$'\x1f'
rust=${RUSTFLAGS:-}
rust=${rust// /$separator}
c=
map() { # FROM TO
    rust+=${rust:+$separator}--remap-path-prefix=$1=$2
    c+=" $(printf '%q' "-ffile-prefix-map=$1=$2")"
}
home=${HOME:-/nonexistent}
map "${home%/}" /home
map "${CARGO_HOME:-$home/.cargo}" /cargo
map "$PWD" /promem
map "$folder" /build
if [ -n "${LIBTORCH:-}" ]; then map "${LIBTORCH%/}" /libtorch; fi
# Links are followed by some compilers and not by others.
map "$(realpath -m "${LIBTORCH:-.deps/libtorch/torch}")" /libtorch

PROMEM_PACKAGE=1 CARGO_ENCODED_RUSTFLAGS=$rust CFLAGS=${CFLAGS:-}$c CXXFLAGS=${CXXFLAGS:-}$c CC_SHELL_ESCAPED_FLAGS=1 \
    exec "${CARGO:-cargo}" build --release --lib --locked --target-dir "$folder"
