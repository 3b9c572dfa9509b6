#!/usr/bin/env bash
# Builds and links `generate` for arm64 Android as docs/ANDROID.md describes, with android.source, with an NDK that has
# Debian's clang and lld in place of its own, and in place of Android's libraries such as have only the names in
# scripts/android_imports.txt. So the program imports nothing from Android that is not in that list; next to each name
# is the API level that introduced it. The result cannot run: the functions are empty.
#
# usage: scripts/link_android.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck disable=SC2034  # skip.source uses it.
WHAT="the link for Android"
source scripts/skip.source

IMPORTS=scripts/android_imports.txt

fail() {
    printf 'error: the link for Android: %s\n' "$1" >&2
    exit 1
}

if ! command -v clang-19 >/dev/null || ! command -v ld.lld-19 >/dev/null; then
    install_or_skip clang-19 lld-19
fi
source scripts/android_std.source || skip "$ANDROID_STD_WHY"

# ---- the NDK, laid out as the real one is

level="$(sed -n 's/.*{ANDROID_API_LEVEL:=\([0-9]*\)}.*/\1/p' android.source)"
ndk="$PWD/target/android/ndk"
host="$ndk/toolchains/llvm/prebuilt/linux-x86_64"
libraries="$host/sysroot/usr/lib/aarch64-linux-android/$level"
rm -rf "$ndk"
mkdir -p "$host/bin" "$libraries"
cat >"$host/bin/aarch64-linux-android$level-clang" <<CLANG
#!/bin/sh
# A page size as those before release 28 have it.
exec clang-19 --target=aarch64-linux-android$level --sysroot='$host/sysroot' -fuse-ld=lld -Wl,-z,max-page-size=4096 "\$@"
CLANG
chmod +x "$host/bin/aarch64-linux-android$level-clang"
clang="$host/bin/aarch64-linux-android$level-clang"

# The names that library $1 has at this level, as assembly.
functions() {
    awk -v library="$1" -v level="$level" \
        '!/^#/ && $1 == library && $3 <= level { printf ".globl %s\n.type %s,@function\n%s: ret\n", $2, $2, $2 }' "$IMPORTS"
}

for library in c m dl log; do
    functions "lib$library" | "$clang" -x assembler - -shared -nostdlib -Wl,-soname,"lib$library.so" -o "$libraries/lib$library.so"
done
# The NDK has the unwinder as an archive.
functions libunwind | "$clang" -x assembler - -Qunused-arguments -c -o "$libraries/unwind.o"
llvm_ar="$(command -v llvm-ar-19 || command -v ar)"
"$llvm_ar" rc "$libraries/libunwind.a" "$libraries/unwind.o"
printf '.globl _start\n_start: b main\n' | "$clang" -x assembler - -Qunused-arguments -c -o "$libraries/crtbegin_dynamic.o"
printf '' | "$clang" -x assembler - -Qunused-arguments -c -o "$libraries/crtend_android.o"

# ---- the build

export ANDROID_NDK_HOME="$ndk" ANDROID_API_LEVEL="$level"
source android.source
# Without optimization: what is linked is the same, or more. Cargo does not know when the libraries have changed.
rm -f "$CARGO_TARGET_DIR/$ANDROID_TARGET/debug/deps/generate"-*
cargo build --locked ${BUILD_STD[@]+"${BUILD_STD[@]}"} --target "$ANDROID_TARGET" --bin generate \
    --config profile.dev.opt-level=0 --config profile.dev.debug=false ||
    fail "of an undefined symbol, look up in bionic's lib*.map.txt since which API level it is there, and add it to $IMPORTS"
program="$CARGO_TARGET_DIR/$ANDROID_TARGET/debug/generate"

# ---- what the dynamic linker will see

header="$(readelf --wide --file-header --program-headers --dynamic "$program")"
has() { grep -q -- "$1" <<<"$header" || fail "$2"; }
has 'Type: *DYN' "it is not position-independent"
has 'FLAGS_1.*PIE' "it is not marked as position-independent"
has 'interpreter: /system/bin/linker64\]' "its interpreter is not /system/bin/linker64"
while read -r align; do
    test $((align)) -ge 16384 || fail "a segment is aligned to $align bytes, and pages may have 16 KiB"
done < <(awk '$1 == "LOAD" { print $NF }' <<<"$header")
needed="$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' <<<"$header" | sort | tr '\n' ' ')"
for library in $needed; do
    case "$library" in libc.so | libm.so | libdl.so | liblog.so) ;; *) fail "it needs $library" ;; esac
done
printf 'aarch64-linux-android: linked for API level %s, needs %s\n' "$level" "$needed"
