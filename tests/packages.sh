#!/usr/bin/env bash
# The C, C++, CMake, pkg-config and ITK packages: built, installed, moved and used. Prints one line for each check.
#
# PROMEM_PREBUILT      the library (default: target/release/libpromem.so)
# PROMEM_PROGRAM       the command line (default: target/release/promem)
# PROMEM_REQUIRE_ALL   1: CMake, pkg-config and ITK must be there; otherwise what needs a missing one is skipped
#
# Debian: g++ cmake make pkg-config binutils libinsighttoolkit5-dev
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
library=$(realpath "${PROMEM_PREBUILT:-target/release/libpromem.so}")
program=$(realpath "${PROMEM_PROGRAM:-target/release/promem}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/lines"
unset PROMEM_MODEL LD_LIBRARY_PATH
# The toy model is too small for threads; those that wait for each other would crawl on a busy machine.
export OMP_NUM_THREADS=1

say() { printf '%s\n' "$*" | tee -a "$work/lines"; }

# check SENTENCE COMMAND...: the command must succeed; what it printed is shown where it does not.
check() {
    local sentence=$1
    shift
    if "$@" >"$work/output" 2>&1; then
        say "ok     $sentence"
    else
        say "FAILED $sentence"
        tail -n 30 "$work/output" | sed 's/^/       /'
    fi
}

# checks NAME COMMAND...: a program that prints its own lines.
checks() {
    local name=$1 status=0
    shift
    "$@" >"$work/output" 2>&1 || status=$?
    sed -nE "s/^(ok    |FAILED) /\1 $name: /p" "$work/output" | tee -a "$work/lines"
    if ! grep -qE '^[0-9]+ passed, 0 failed$' "$work/output" || [ $status != 0 ]; then
        say "FAILED $name: it ended with status $status"
        tail -n 5 "$work/output" | sed 's/^/       /'
    fi
}

fails() { ! "$@"; }
# says TEXT COMMAND...: the command succeeds and prints the text; fails_saying: it fails and prints it.
says() {
    local text
    text=$("${@:2}" 2>&1) || { echo "status $?; $text"; return 1; }
    echo "$text"
    [[ $text == *"$1"* ]]
}
fails_saying() {
    local text
    if text=$("${@:2}" 2>&1); then echo "it succeeded; $text"; return 1; fi
    echo "$text"
    [[ $text == *"$1"* ]]
}

skip() {
    say "skipped, $1 is not there: $2"
    if [ "${PROMEM_REQUIRE_ALL:-0}" = 1 ]; then say "FAILED $1 is required (PROMEM_REQUIRE_ALL=1)"; fi
}

finish() {
    local passed failed
    passed=$(grep -c '^ok ' "$work/lines" || true)
    failed=$(grep -c '^FAILED ' "$work/lines" || true)
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ] && [ "$passed" != 0 ]
    exit
}

# Where libtorch lies: the end of the run path, but for a library that was built for packages (scripts/package_library.sh).
torch=$(readelf -d "$library" | sed -nE 's/.*RUNPATH.*\[.*:([^:$]*)\]/\1/p')
packaged=0
if [ -z "$torch" ]; then
    packaged=1
    torch=$(realpath "${LIBTORCH:-.deps/libtorch/torch}/lib")
fi
libtorch=("$torch"/*.so* "$torch"/../../nvidia/*/lib/*.so*)

"$program" demo --quiet "$work/demo"
model=$work/demo/toy.safetensors
mkdir "$work/lib"
soname=$(readelf -d "$library" | sed -nE 's/.*SONAME.*\[(.*)\]/\1/p')
cp "$library" "$work/lib/$soname"
ln -s "$soname" "$work/lib/libpromem.so"
if [ $packaged = 1 ]; then ln -s "${libtorch[@]}" "$work/lib"; fi
link=(-L"$work/lib" -lpromem "-Wl,-rpath,$work/lib" -Wl,--allow-shlib-undefined -pthread)
strict=(-Wall -Wextra -Wpedantic -Werror -O1)

# --- The library itself

exported() { nm -D --defined-only "$library" | awk '{ print $3 }'; }
only_our_symbols() {
    exported | grep -v '^promem_' | head -n 60
    [ "$(exported | grep -c '^promem_')" -gt 40 ] && [ "$(exported | grep -vc '^promem_')" = 0 ]
}
check "the library exports promem_ functions and nothing else" only_our_symbols
# No path of the sources, libtorch, cargo's registry or the user's folder; all binary text is searched, as `strings` would.
no_machine_paths() { fails grep -aoF -e "$root" -e "$torch" -e "${CARGO_HOME:-$HOME/.cargo}" -e "${HOME%/}/" "$1"; }
if [ $packaged = 1 ]; then
    check "a library built for packages knows no path of this machine" no_machine_paths "$library"
    check "it looks for libtorch beside itself and in ../lib" test "$(readelf -d "$library" | sed -nE 's/.*RUNPATH.*\[(.*)\]/\1/p')" = '$ORIGIN:$ORIGIN/../lib'
else
    say "not checked: the library was not built for packages (make package-check does, and checks that it knows no path of this machine)"
fi

# --- Headers and the C++ wrapper, without CMake

echo '#include "promem.h"
int main(void) { return promem_abi_version() != PROMEM_ABI_VERSION; }' >"$work/header.c"
for standard in c99 c11; do
    check "promem.h is ${standard^^} without a warning, and without padding" \
        "${CC:-cc}" -std=$standard "${strict[@]}" -Wpadded -Iinclude "$work/header.c" -o "$work/header" "${link[@]}"
    check "a program of it has the library's interface" "$work/header"
done
check "promem.hpp is C++17 without a warning, from two translation units of one program" \
    "${CXX:-c++}" -std=c++17 "${strict[@]}" -Wshadow -Wconversion -Wnon-virtual-dtor -Wold-style-cast \
    -Iinclude tests/cpp/wrapper.cpp tests/cpp/other_unit.cpp -o "$work/wrapper" "${link[@]}"
checks C++ "$work/wrapper" "$model"

mkdir "$work/newer"
cp include/promem.hpp "$work/newer"
sed -E 's/(#define PROMEM_ABI_VERSION).*/\1 4711/' include/promem.h >"$work/newer/promem.h"
check "a program of another interface builds" \
    "${CXX:-c++}" -std=c++17 -I"$work/newer" tests/cpp/newer_header.cpp -o "$work/newer_header" "${link[@]}"
check "and is refused by the library, in words" "$work/newer_header"

# --- The CMake package

if ! command -v cmake >/dev/null; then
    skip CMake "packages, examples, ITK"
    finish
fi
configure() { cmake -DCMAKE_BUILD_TYPE= -DCMAKE_C_FLAGS=-O1 -DCMAKE_CXX_FLAGS=-O1 "$@"; }
# A library that does not know where this machine's libtorch is, as on another one.
portable=$library
if [ $packaged = 0 ]; then
    portable=$work/portable/libpromem.so
    mkdir "$work/portable"
    LC_ALL=C sed "s|$torch|$(tr -c '\n' x <<<"$torch")|" "$library" >"$portable"
fi
check "the project is configured" configure -S . -B "$work/build" \
    -DPROMEM_PREBUILT="$library" -DPROMEM_BUILD_EXAMPLES=ON -DPROMEM_BUILD_TESTS=ON -DCMAKE_INSTALL_PREFIX="$work/installed" -DCMAKE_INSTALL_LIBDIR=lib \
    -DPROMEM_LIBTORCH="$torch/.." -DPROMEM_INSTALL_LIBTORCH=$packaged
itk=0
if grep -q '^ITK_DIR:PATH=/' "$work/build/CMakeCache.txt"; then itk=1; fi
check "library, examples and tests are built" cmake --build "$work/build"
check "a library that is not there is named" \
    fails_saying '/nowhere/libpromem.so' cmake -S . -B "$work/other" -DPROMEM_PREBUILT=/nowhere/libpromem.so
# A cargo that notes what it is asked for and has the library at once.
mkdir "$work/cargo"
cat >"$work/cargo/cargo" <<EOF_CARGO
#!/usr/bin/env bash
echo "\$PWD \$*" >"$work/cargo/asked"
echo "\$PROMEM_PACKAGE \$CARGO_ENCODED_RUSTFLAGS \$CXXFLAGS" >"$work/cargo/flags"
mkdir -p "$work/by_cargo/cargo/release"
cp "$library" "$work/by_cargo/cargo/release/libpromem.so"
EOF_CARGO
chmod +x "$work/cargo/cargo"
check "without a prebuilt library the project is configured for cargo" cmake -S . -B "$work/by_cargo" -DPROMEM_CARGO="$work/cargo/cargo"
check "and built" cmake --build "$work/by_cargo"
check "by cargo, in the sources' folder" \
    test "$(cat "$work/cargo/asked")" = "$root build --release --lib --locked --target-dir $work/by_cargo/cargo" -a -s "$work/by_cargo/lib/libpromem.so"
for folder in "$HOME" "${CARGO_HOME:-$HOME/.cargo}" "$root"; do
    check "as for packages, without the path of $folder" \
        grep -q "^1 .*--remap-path-prefix=$folder=/.*-ffile-prefix-map=$folder" "$work/cargo/flags"
done
check "the package is installed" cmake --install "$work/build"

# What the examples find, two bytes a voxel.
something() { [ "$(stat -c %s "$1")" = "$2" ] && [ "$(tr -d '\000' <"$1" | wc -c)" -gt 500 ]; }
export PROMEM_MODEL=$model
check "the C example runs" says "slices: 9 of 9" "$work/build/example_c" "$work/labels.raw"
check "it writes labels" something "$work/labels.raw" $((2 * 64 * 48 * 9))
seq 1000 1639 >"$work/scan.raw" # 20 x 16 x 5 voxels of two bytes
seq 1000 1063 | tr '2\n' '\000\000' >"$work/mask.raw"
# The mask is the result on its slice, slice 2: a byte of the mask, not 0, is the label 1 of two bytes.
keeps_mask() {
    diff <(od -v -An -tu2 -w2 -j $((2 * 20 * 16 * 2)) -N $((2 * 20 * 16)) "$work/read.raw" | tr -d ' ') \
        <(od -v -An -tu1 -w1 "$work/mask.raw" | sed -E 's/ //g; s/[1-9][0-9]*/1/')
}
check "it reads raw files" "$work/build/example_c" "$work/read.raw" "$work/scan.raw" 20 16 5 2 "$work/mask.raw"
check "and keeps their mask on its slice" keeps_mask
check "a raw file that breaks off is named" \
    fails_saying "cannot read \`$work/mask.raw\`: expected 357 bytes" "$work/build/example_c" "$work/no.raw" "$work/scan.raw" 21 17 1 0 "$work/mask.raw"
check "the C++ example runs" says "object 1, slice 6: score" "$work/build/example_cpp"
check "a missing model is named" fails_saying "PROMEM_IO_ERROR: \`/nowhere\`" "$work/build/example_cpp" /nowhere
unset PROMEM_MODEL

# --- The ITK filter against the command line

if [ $itk = 1 ]; then
    test_itk=$work/build/test_itk
    mkdir "$work/itk" "$work/dicom"
    "$test_itk" prepare "$work/demo" "$work/itk"
    segment=("$program" segment --quiet --image "$work/itk/scan.nii.gz" --model "$model")
    masks=(--prompt-mask "$work/itk/prompts.nii.gz" --range 10,20 --no-stop --window 400,40)
    "${segment[@]}" "${masks[@]}" -o "$work/itk/middle.nii.gz"
    "${segment[@]}" "${masks[@]}" --prompt-slice all --windows 2 --beams 3 -o "$work/itk/all.nii.gz"
    read -ra clicks <"$work/itk/clicks.txt"
    "${segment[@]}" "${clicks[@]}" --direction up --range 12,17 --no-stop -o "$work/itk/clicks.nii.gz"
    "${segment[@]}" --prompt-mask "$work/itk/prompts.nii.gz" --axis k --direction up --presence-threshold 0.85 --precision fp32 -o "$work/itk/stopping.nii.gz"
    checks ITK "$test_itk" check "$work/itk" "$model"

    # What a program reads with ITK must not depend on whether it links the library: 400 damaged JPEG 2000 files.
    mkdir "$work/jpeg2000"
    "$work/build/jpeg2000_alone" write "$work/jpeg2000" 400 >/dev/null 2>&1
    # Memory that nobody has written to reads the same in both; addresses in messages differ.
    read_damaged() { MALLOC_PERTURB_=85 "$work/build/jpeg2000_$1" read "$work/jpeg2000" 2>&1 | sed -E 's/0x[0-9a-f]+/0x/g' >"$work/jpeg2000_$1.txt"; }
    needs() { readelf -d "$work/build/jpeg2000_$1" | grep -q "NEEDED.*$soname" && nm -D "$work/build/jpeg2000_$1" | grep -q ' U promem_version'; }
    check "ITK: one program needs the library" needs linked
    check "ITK: the same program without it does not" fails needs alone
    reads_alike() {
        read_damaged alone && read_damaged linked
        # Some files are read although they are damaged, some are refused.
        [ "$(grep -c '^ended' "$work/jpeg2000_alone.txt")" = 401 ] && [ "$(grep -c '^ended with status 0' "$work/jpeg2000_alone.txt")" -gt 100 ] &&
            [ "$(grep -c '^ended with status 1' "$work/jpeg2000_alone.txt")" -gt 100 ] && diff "$work/jpeg2000_alone.txt" "$work/jpeg2000_linked.txt"
    }
    check "ITK: 400 damaged JPEG 2000 files are read alike with the library and without it" reads_alike

    check "ITK: a DICOM series is written" "$test_itk" dicom "$work/demo/scan.nii.gz" "$work/dicom"
    "$program" segment --quiet --image "$work/demo/scan.nii.gz" --model "$model" --prompt-mask "$work/demo/mask.nii.gz" -o "$work/demo/labels.nii.gz"
    example=$work/build/example_itk
    check "ITK: the example reads NIfTI" "$example" "$work/demo/scan.nii.gz" "$work/demo/mask.nii.gz" "$work/nifti.nii.gz" "$model"
    check "ITK: and finds what the command line finds" "$test_itk" same "$work/nifti.nii.gz" "$work/demo/labels.nii.gz"
    check "ITK: the example reads a DICOM series" "$example" "$work/dicom" "$work/demo/mask.nii.gz" "$work/series.nii.gz" "$model"
    check "ITK: and finds the same" "$test_itk" same "$work/series.nii.gz" "$work/demo/labels.nii.gz"
    check "ITK: a folder without DICOM is named" fails_saying "\`$work/lib\`: it holds no DICOM series" "$example" "$work/lib" "$work/demo/mask.nii.gz" "$work/no.nii.gz"
else
    skip ITK "the filter and its example"
fi

# --- The installed package, moved, without its build folder

name=$(basename "$(readlink -f "$work/installed/lib/libpromem.so")")
check "the library is installed under its version" test "$name" != libpromem.so
check "libpromem.so leads over the soname to it" \
    test "$(readlink "$work/installed/lib/libpromem.so") $(readlink "$work/installed/lib/$(readlink "$work/installed/lib/libpromem.so")")" = "$soname $name"
check "the soname carries the interface of promem.h" \
    test "$soname" = "libpromem.so.$(sed -nE 's/^#define PROMEM_ABI_VERSION ([0-9]+)$/\1/p' include/promem.h)"
check "licence and notice are installed" test -s "$work/installed/share/doc/ProMem/LICENSE" -a -s "$work/installed/share/doc/ProMem/NOTICE"

mkdir "$work/elsewhere"
mv "$work/installed" "$work/elsewhere/moved here"
cp "$work/build/CMakeCache.txt" "$work"
rm -rf "$work/build"
moved="$work/elsewhere/moved here"
check "no installed text knows where it was built or installed" fails grep -rIlF -e "$work/build" -e "$work/installed" -e "$root" "$moved"

check_documented() { # FILE: docs/packages.md shows it as it is
    awk -v marker="<!-- $1 -->" '$0 == marker { wanted = 1; next } wanted && /^```/ { if (inside) exit; inside = 1; next } inside' docs/packages.md |
        diff - "$1"
}
for file in CMakeLists.txt main.c main.cpp itk.cpp subdirectory/CMakeLists.txt itk_module/CMakeLists.txt; do
    check "docs/packages.md shows tests/cmake_consumer/$file" check_documented "tests/cmake_consumer/$file"
done

cp -r tests/cmake_consumer "$work/consumer"
mkdir -p "$moved/share/promem"
cp "$model" "$moved/share/promem/promem-compact.safetensors"
without_itk=(-DCMAKE_DISABLE_FIND_PACKAGE_ITK=ON)
[ $itk = 1 ] && without_itk=()
# A project of C++14: the targets ask for what they need.
check "find_package finds the moved package" \
    configure -S "$work/consumer" -B "$work/consumer/build" -DCMAKE_PREFIX_PATH="$moved" -DCMAKE_CXX_STANDARD=14 "${without_itk[@]}"
check "a project is built with it" cmake --build "$work/consumer/build"
check "its C program runs, with the default model of the installation" says "label 1 in the middle" "$work/consumer/build/in_c"
check "its C++ program runs" says "27648 labels" "$work/consumer/build/in_cpp"
if [ $itk = 1 ]; then
    check "its ITK program runs" says "label 7 in the middle" "$work/consumer/build/in_itk"
fi
# The consumer's own installation, from another folder. The build folder is gone: nothing may be found there.
clean() { (cd / && env -i OMP_NUM_THREADS=1 PATH="$PATH" "$@"); }
check "the project is installed" cmake --install "$work/consumer/build" --prefix "$work/consumer installed"
rm -rf "$work/consumer/build"
check "its installed C program finds the library, libtorch and the model" says "label 1 in the middle" clean "$work/consumer installed/bin/in_c"
check "its installed C++ program, too" says "27648 labels" clean "$work/consumer installed/bin/in_cpp"
if [ $itk = 1 ]; then
    check "its installed ITK program, too" says "label 7 in the middle" clean "$work/consumer installed/bin/in_itk"
fi

# This project as a folder of another one. Its model is the repository's, without PROMEM_MODEL.
mkdir "$work/parent"
cp tests/cmake_consumer/main.c tests/cmake_consumer/subdirectory/CMakeLists.txt "$work/parent"
ln -s "$root" "$work/parent/promem"
check "a project takes this one by add_subdirectory" \
    configure -S "$work/parent" -B "$work/parent/build" -DPROMEM_PREBUILT="$portable" -DPROMEM_LIBTORCH="$torch/.." -DPROMEM_INSTALL_LIBTORCH=ON -DCMAKE_INSTALL_LIBDIR=lib
check "it is built" cmake --build "$work/parent/build"
if [ -e models/promem-compact.safetensors ]; then
    check "its program runs in the build folder, with the default model" says "label 1 in the middle" clean "$work/parent/build/in_c"
    check "it is installed, with libtorch" cmake --install "$work/parent/build" --prefix "$work/parent/installed"
    rm -rf "$work/parent/build"
    mv "$work/parent/installed" "$work/parent/moved alone"
    check "the moved installation runs alone: library, model and libtorch are its own" \
        says "label 1 in the middle" clean "$work/parent/moved alone/bin/in_c"
    own_files() { # nothing of libtorch is opened elsewhere
        clean env LD_DEBUG=files "$work/parent/moved alone/bin/in_c" 2>&1 | sed -nE 's/.*calling init: //p' | grep -E 'promem|torch|c10|gomp|cu(pti|dart)' >"$work/opened"
        [ "$(grep -c . "$work/opened")" -ge 3 ] && fails grep -v "^$work/parent/moved alone/" "$work/opened"
    }
    check "and opens no library of libtorch elsewhere" own_files
else
    say "FAILED the default model models/promem-compact.safetensors is not there"
fi
check "a libtorch that is not there is named" \
    fails_saying 'PROMEM_LIBTORCH: `/nowhere` has no folder lib' cmake -S "$work/parent" -B "$work/parent/without" -DPROMEM_PREBUILT="$portable" -DPROMEM_LIBTORCH=/nowhere -DPROMEM_INSTALL_LIBTORCH=ON

# As a module of ITK, beside a copy of the ITK that is installed here: a copy, so that the system's folders stay as they are.
if [ $itk = 1 ]; then
    itk_dir=$(sed -n 's/^ITK_DIR:PATH=//p' "$work/CMakeCache.txt")
    itk_prefix=$(realpath "$itk_dir/../../..")
    copy=$work/itk_copy
    mkdir -p "$copy/lib/cmake" "$copy/include"
    cp -r "$itk_dir" "$copy/lib/cmake"
    cp -rs "$itk_prefix/include/$(basename "$itk_dir")" "$copy/include"
    ln -s "$itk_prefix/bin" "$copy/bin"
    find "$itk_prefix/lib" -mindepth 1 -maxdepth 1 ! -name cmake -exec ln -s -t "$copy/lib" {} +
    check "ITK: the module is configured for an installed ITK" configure -S . -B "$work/module" -DPROMEM_ITK_MODULE=ON \
        -DITK_DIR="$copy/lib/cmake/$(basename "$itk_dir")" -DPROMEM_PREBUILT="$library" -DPROMEM_LIBTORCH="$torch/.." -DPROMEM_INSTALL_LIBTORCH=$packaged -DCMAKE_INSTALL_LIBDIR=lib
    check "ITK: it is built" cmake --build "$work/module"
    check "ITK: it is installed beside ITK" cmake --install "$work/module" --prefix "$copy"
    rm -rf "$work/module"
    mkdir "$work/module_user"
    cp tests/cmake_consumer/itk.cpp tests/cmake_consumer/itk_module/CMakeLists.txt "$work/module_user"
    check "ITK: find_package(ITK COMPONENTS ProMem) finds the module" \
        configure -S "$work/module_user" -B "$work/module_user/build" -DITK_DIR="$copy/lib/cmake/$(basename "$itk_dir")"
    check "ITK: a program is built with it" cmake --build "$work/module_user/build"
    check "ITK: it runs" says "label 7 in the middle" clean env PROMEM_MODEL="$model" "$work/module_user/build/in_itk"
    check "ITK: a module that ITK does not have is named" \
        fails_saying 'No such module: "ProMem"' cmake -S "$work/module_user" -B "$work/module_user/other" -DITK_DIR="$itk_dir"
fi

sed 's/ProMem 0.1/ProMem 99/' tests/cmake_consumer/CMakeLists.txt >"$work/consumer/CMakeLists.txt"
check "a version that is too old is refused" fails_saying 'requested version "99"' cmake -S "$work/consumer" -B "$work/consumer/old" -DCMAKE_PREFIX_PATH="$moved"
sed 's/COMPONENTS cpp/COMPONENTS fortran/' tests/cmake_consumer/CMakeLists.txt >"$work/consumer/CMakeLists.txt"
check "a component that is not there is refused" fails_saying fortran cmake -S "$work/consumer" -B "$work/consumer/component" -DCMAKE_PREFIX_PATH="$moved"

if command -v pkg-config >/dev/null; then
    mv "$moved" "$work/elsewhere/moved"
    moved=$work/elsewhere/moved
    export PKG_CONFIG_PATH=$moved/lib/pkgconfig
    read -ra flags <<<"$(pkg-config --cflags --libs promem)"
    with_flags() { "${CC:-cc}" -std=c99 "$work/consumer/main.c" -o "$work/$1" "${flags[@]}" "-Wl,-rpath,$moved/lib"; }
    check "pkg-config says the version" test "libpromem.so.$(pkg-config --modversion promem)" = "$name"
    check "a program is built by pkg-config" with_flags in_c
    check "it runs" says "label 1 in the middle" "$work/in_c"

    # As on another machine: libtorch is not where the library was built.
    cp "$portable" "$moved/lib/$name"
    find "$moved/lib" -maxdepth 1 -name '*.so*' ! -name 'libpromem*' -delete
    check "a program is built where libtorch is not to be found" with_flags in_c_without
    check "it does not start there" fails_saying "libtorch" "$work/in_c_without"
    check "it starts where LD_LIBRARY_PATH names libtorch" says "label 1 in the middle" env LD_LIBRARY_PATH="$torch" "$work/in_c_without"
    ln -s "${libtorch[@]}" "$moved/lib/"
    check "it starts where libtorch and what that needs lie beside the library" says "label 1 in the middle" "$work/in_c_without"
else
    skip pkg-config "promem.pc"
fi
finish
