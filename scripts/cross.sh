#!/bin/bash
# cross.sh [-t] [-s] [-w] [-i] [-b DIR] ARCHITECTURE… : static binaries for arm64, armhf, mipsel, s390x (any of Debian's) from Debian's
# cross compilers; -t builds the unit tests too and runs them under qemu-user; -s runs libiscsi's suite against tgtd under qemu-user;
# -w writes README.md's sizes; -i installs compilers and qemu-user (root). The -dev packages of the other architecture are unpacked
# below DIR/ARCHITECTURE/sysroot, nothing of the system is changed. All of it: scripts/cross.sh -i -t -s -w
# Closing line: N passed, N failed (binaries and test runs).
set -eu
top=$(cd "$(dirname "$0")/.." && pwd); base=$top/build/cross tests='' suite='' write='' install=''
while getopts "tswib:" o; do case $o in t) tests=1;; s) suite=1;; w) write=-w;; i) install=1;; b) base=$OPTARG;; *) exit 64;; esac; done; shift $((OPTIND-1))
[ $# -gt 0 ] || set -- arm64 armhf mipsel s390x
passed=0 failed=0

triplet_of() {
    case $1 in
    arm64) echo aarch64-linux-gnu;; armhf) echo arm-linux-gnueabihf;; mipsel) echo mipsel-linux-gnu;; mips64el) echo mips64el-linux-gnuabi64;;
    s390x) echo s390x-linux-gnu;; ppc64el) echo powerpc64le-linux-gnu;; riscv64) echo riscv64-linux-gnu;; i386) echo i686-linux-gnu;;
    *) echo "cross.sh: no architecture $1" >&2; return 1;;
    esac
}
name_of() { case $1 in arm64) echo aarch64;; *) echo "$1";; esac; }
qemu_of() { case $1 in arm64) echo aarch64;; armhf) echo arm;; ppc64el) echo ppc64le;; *) echo "$1";; esac; }
multiarch_of() { case $1 in i386) echo i386-linux-gnu;; *) triplet_of "$1";; esac; }

build() { # ARCHITECTURE
    local triplet dir=$base/$1 root=$base/$1/sysroot qemu emulator=() launcher=() multiarch targets=iscsi
    triplet=$(triplet_of "$1"); multiarch=$(multiarch_of "$1")
    if [ -n "$install" ]; then
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "g++-$triplet" qemu-user-static < /dev/null > /dev/null
    fi
    command -v "$triplet-g++" > /dev/null || { echo "cross.sh: $triplet-g++ is not there: apt-get install g++-$triplet" >&2; return 1; }
    [ -e "$root/usr/lib/$multiarch/libcrypto.a" ] && [ -e "$root/usr/lib/$multiarch/libboost_program_options.a" ] ||
        "$top/scripts/packaging/foreign_debs.sh" "$1" "$root" libssl-dev libboost1.74-dev libboost-program-options1.74-dev
    qemu=$(command -v "qemu-$(qemu_of "$1")-static" || :)
    [ -n "$qemu" ] && emulator=(-DCMAKE_CROSSCOMPILING_EMULATOR="$qemu")
    command -v ccache > /dev/null && launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    cmake -G Ninja -S "$top" -B "$dir" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="${triplet%%-*}" -DCMAKE_CXX_COMPILER="$triplet-g++" \
        -DCMAKE_STRIP="/usr/bin/$triplet-strip" -DCMAKE_FIND_ROOT_PATH="$root/usr" -DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=NEVER \
        -DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY -DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=ONLY \
        -DCMAKE_LIBRARY_ARCHITECTURE="$multiarch" -DOPENSSL_CRYPTO_LIBRARY="$root/usr/lib/$multiarch/libcrypto.a" \
        -DOPENSSL_INCLUDE_DIR="$root/usr/include" -DCMAKE_CXX_FLAGS="-isystem $root/usr/include/$multiarch -isystem $root/usr/include" \
        -DISCSI_MANUAL=OFF -DISCSI_TESTS="$([ -n "$tests" ] && echo ON || echo OFF)" "${emulator[@]}" "${launcher[@]}" > "$dir.log" 2>&1 ||
        { tail -n 20 "$dir.log"; return 1; }
    [ -n "$tests" ] && targets="iscsi unit_tests"
    # shellcheck disable=SC2086
    ninja -C "$dir" ${JOBS:+-j$JOBS} $targets > "$dir.log" 2>&1 || { grep -v '^\[' "$dir.log" | tail -n 20; return 1; }
    # shellcheck disable=SC2086
    "$top/scripts/size.sh" $write -a "$(name_of "$1")" "$dir" || return 1
    passed=$((passed + 1))
    [ -n "$qemu" ] || { [ -z "$tests$suite" ] || echo "cross.sh: no qemu-user for $1: not run"; return 0; }
    "$qemu" "$dir/iscsi" --version > /dev/null || return 1
    local rc=0 line
    if [ -n "$suite" ]; then
        rm -rf "${dir:?}/bin"; mkdir "$dir/bin"
        for line in tgtd tgtadm; do printf '#!/bin/sh\nexec %s -0 %s %s "$@"\n' "$qemu" $line "$dir/iscsi" > "$dir/bin/$line"; chmod 755 "$dir/bin/$line"; done
        "$top/tests/e2e/run.sh" -b "$dir/bin" "suite:$dir/bin:libiscsi" > "$dir/suite.log" 2>&1 < /dev/null || rc=$?
        grep '^FAIL' "$dir/suite.log" || :
        echo "$1: libiscsi's suite: $(tail -n 1 "$dir/suite.log")"
        [ $rc -eq 0 ] || return 1
        passed=$((passed + 1))
    fi
    [ -n "$tests" ] || return 0
    (cd "$top" && timeout 900 "$qemu" "$dir/unit_tests" > "$dir/tests.log" 2>&1 < /dev/null) || rc=$?
    line=$(grep -a '^\[doctest\] test cases:' "$dir/tests.log" | tail -n 1)
    echo "$1: ${line:-the tests ended with status $rc}"
    [ $rc -eq 0 ] || { grep -a -B2 -A6 'ERROR' "$dir/tests.log" | head -n 60; return 1; }
    passed=$((passed + 1))
}

mkdir -p "$base"
echo "| architecture | stripped | xz -9e |"; echo "|---|---:|---:|"
for architecture in "$@"; do build "$architecture" || failed=$((failed + 1)); done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
