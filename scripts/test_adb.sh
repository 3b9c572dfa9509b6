#!/usr/bin/env bash
# Runs scripts/run_android.sh and scripts/android_profile.py against a real adb daemon, whose phone is this machine: an
# arm64 program, if scripts/test_arm64.sh has built one, by qemu, else this machine's own.
#
# The daemon is an open root shell on every interface. So all of this happens in namespaces of their own: nothing but this
# script can reach its network, and everything in it ends when the script does.
#
# usage: scripts/test_adb.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck disable=SC2034  # skip.source uses it.
WHAT="the tests of adb"
source scripts/skip.source

NAMESPACES=(unshare --user --map-root-user --net --pid --mount --fork --kill-child --mount-proc)
PACKAGES=(adbd android-libbase android-libboringssl android-libcutils android-liblog)
HOME_OF_ADBD="$PWD/target/adbd"
ADBD="$HOME_OF_ADBD/usr/lib/android-sdk/platform-tools/adbd"

# Unpacks the daemon into target/; the system, and what it knows of packages, stay as they are.
get_adbd() {
    local apt="$HOME_OF_ADBD/apt" sources uri keys codename
    test ! -x "$ADBD" || return 0
    command -v apt-get >/dev/null || skip "no apt-get here to get adbd"
    sources=/etc/apt/sources.list.d/debian.sources
    # shellcheck source=/dev/null
    codename="$(. /etc/os-release && echo "${VERSION_CODENAME:-}")"
    uri="$(sed -n 's/^URIs: *//p' "$sources" 2>/dev/null | head -n 1)"
    keys="$(sed -n 's/^Signed-By: *//p' "$sources" 2>/dev/null | head -n 1)"
    if test -z "$uri" || test "$codename" != bookworm; then skip "its package is taken from Debian 12's backports"; fi
    mkdir -p "$apt"/{lists/partial,cache/archives/partial,parts,packages}
    printf 'Types: deb\nURIs: %s\nSuites: bookworm bookworm-backports\nComponents: main\nSigned-By: %s\n' \
        "$uri" "$keys" >"$apt/parts/adbd.sources"
    local options=(-q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$apt/parts"
        -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update >&2 || skip "apt-get update fails"
    (cd "$apt/packages" && apt-get "${options[@]}" download "${PACKAGES[@]/%//bookworm-backports}" libprotobuf32) >&2 ||
        skip "apt-get cannot download ${PACKAGES[*]}"
    local package
    for package in "$apt"/packages/*.deb; do dpkg -x "$package" "$HOME_OF_ADBD"; done
    rm -r "$apt"
}

if test "${1:-}" != --inside; then
    command -v adb >/dev/null || install_or_skip adb
    "${NAMESPACES[@]}" true 2>/dev/null || skip "this system gives no namespaces"
    get_adbd
    # The programs as the tests have them.
    cargo test --locked --quiet --no-run --features server --test it
    exec "${NAMESPACES[@]}" scripts/test_adb.sh --inside
fi

# ---- inside

ip link set lo up
here="$PWD/target/debug/generate"
there="$here" bench="$PWD/target/debug/bench_model"
phone="$(mktemp -d)"
mount -t tmpfs -o size=512m tmpfs "$phone"
arm64="$(find target/arm64/*/debug -maxdepth 1 -name generate 2>/dev/null | head -n 1)"
source scripts/binfmt_arm64.source
if test -n "$arm64" && start_arm64_programs; then there="$PWD/$arm64"; fi
echo "the phone runs $there"

libraries="$HOME_OF_ADBD/usr/lib/x86_64-linux-gnu"
export HOME="$phone" LLM_RS2_DEVICE_DIR="$phone/it's the phone"
LD_LIBRARY_PATH="$libraries/android:$libraries" "$ADBD" >"$phone/adbd.log" 2>&1 &
serial=127.0.0.1:5555
for _ in $(seq 240); do
    sleep 0.25
    if adb connect "$serial" 2>/dev/null | grep -q '^\(already \)\?connected'; then break; fi
done
adb devices | grep -q "^$serial.device$" || { cat "$phone/adbd.log" >&2; echo "error: adbd does not answer" >&2; exit 1; }

# Runs run_android.sh on the phone; its output in $text, what it said in $said, its exit code in $code.
run() {
    code=0
    text="$(scripts/run_android.sh -s "$serial" "$@" </dev/null 2>"$phone/said")" || code=$?
    said="$(cat "$phone/said")"
}

wrong() {
    printf 'error: %s\nexit code %s, standard output: %s\nstandard error: %s\n' "$1" "$code" "$text" "$said" >&2
    exit 1
}

story=(--prompt "It's \"Ada\" \$HOME" --temperature 0 -n 16 -q)
expected="$("$here" "${story[@]}")"
passed=0
ok() { passed=$((passed + 1)) && printf 'ok: %s\n' "$1"; }

run --binary "$there" generate "${story[@]}"
if test "$code" != 0 || test "$text" != "$expected"; then wrong "another text than here: $expected"; fi
case "$said" in *"pushing generate"*) ;; *) wrong "nothing was pushed" ;; esac
ok "the program is pushed, and prints the same text as here"

run --binary "$there" generate "${story[@]}"
if test "$code$said" != 0 || test "$text" != "$expected"; then wrong "the second run pushes again"; fi
ok "nothing is pushed twice"

run --binary "$there" generate --prompt x --max-seq-len 0
test "$code" = 2 || wrong "the exit code is lost"
ok "the exit code comes back"

cp -r tests/fixtures/tiny-llama32 "$phone/tiny-llama32"
tiny=(--prompt "t1 t2 t3" --temperature 0 -n 6 --ignore-eos -q)
run --binary "$there" --packer "$here" generate -m "$phone/tiny-llama32" "${tiny[@]}"
expected="$("$here" -m "$phone/tiny-llama32" --pack-cache off "${tiny[@]}")"
if test "$code" != 0 || test "$text" != "$expected"; then wrong "another text than here: $expected"; fi
test -f "$LLM_RS2_DEVICE_DIR/tiny-llama32-phone-auto.packed" || wrong "no packed file was pushed"
test -z "$(find "$LLM_RS2_DEVICE_DIR" -name '*.safetensors')" || wrong "the checkpoint itself was pushed"
ok "of a checkpoint the packed file is made here and pushed"

run -s other --binary "$there" generate "${story[@]}"
if test "$code" = 0 || test "${said#*adb knows no device other}" = "$said"; then wrong "an absent phone"; fi
ok "an absent phone is a sentence"

rm "$LLM_RS2_DEVICE_DIR/generate"
dd if=/dev/zero of="$phone/full" bs=1M 2>/dev/null || true
run --binary "$there" generate "${story[@]}"
if test "$code" != 1 || test "${said#*MiB free; delete something there}" = "$said"; then wrong "a full phone"; fi
rm "$phone/full"
ok "a full phone is a sentence"

run --binary "$there" generate "${story[@]}"
# As a job of its own and with SIGINT as it is by default, since what runs in the background of a script does not hear it.
set -m
env --default-signal=INT scripts/run_android.sh -s "$serial" --binary "$there" generate -p Once -n 100000000 --ignore-eos \
    --eviction-policy sliding --eviction-window 64 >"$phone/endless" 2>/dev/null </dev/null &
child=$!
set +m
for _ in $(seq 720); do
    test ! -s "$phone/endless" || break
    sleep 0.25
done
test -s "$phone/endless" || wrong "an endless text does not start"
kill -INT "$child"
for _ in $(seq 720); do
    kill -0 "$child" 2>/dev/null || break
    sleep 0.25
done
! kill -0 "$child" 2>/dev/null || wrong "Ctrl-C is not heard"
code=0
wait "$child" || code=$?
pid="$(cat "$LLM_RS2_DEVICE_DIR/pid.generate")"
if test "$code" != 130 || test -e "/proc/$pid"; then wrong "Ctrl-C left the program running"; fi
ok "Ctrl-C ends the program on the phone"

profile="$(scripts/android_profile.py -s "$serial" --binary "$bench" --interval 0.2 --output-dir "$phone/results" \
    --name test bench_model --shape demo -p 16 -n 16 -r 10)"
scripts/check_results.py "$profile"
ok "a profile is made"

printf '%s passed, 0 failed\n' "$passed"
