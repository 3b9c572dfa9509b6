#!/usr/bin/env bash
# Builds a program for an Android phone, pushes it and its model over adb, runs it, and exits with its exit code.
set -euo pipefail

DEVICE_DIR="${LLM_RS2_DEVICE_DIR:-/data/local/tmp/llm_rs2}"

usage() {
    cat <<'USAGE'
usage: scripts/run_android.sh [OPTION...] PROGRAM [ARGUMENT...]

Runs PROGRAM (generate, bench_model, micro_bench, test_backend, eval_model, quantize) on an Android phone, with its arguments.
A file or directory after -m, --model-path, -f, --file or --prompt-file is one of this machine, and so is any file that
quantize is given to read; it is pushed to the phone if it is not there yet. A checkpoint's directory is first converted here into a packed file (in the --weight-dtype of the
program), and only that file is pushed.

  -s, --serial SERIAL  the phone, if several are connected (adb devices)
      --static         build a static program for arm64 Linux, which needs no NDK and uses the CPU only
                       (scripts/arm64.source)
      --binary FILE    a program that is built already
      --packer FILE    a generate for this machine that is built already, for packing
      --pull PATH      pull this file or directory (relative to the folder on the phone) afterwards; repeatable
      --pull-to DIR    where to (default results/data)
      --verbose        print each step
  -h, --help

Files on the phone are in /data/local/tmp/llm_rs2 (LLM_RS2_DEVICE_DIR names another folder). Files that are there already
with the same size and checksum are not pushed, and an interrupted push resumes where it ended.

Examples:
  source android.source
  scripts/run_android.sh generate --prompt "Once upon a time"
  scripts/run_android.sh generate -m Llama-3.2-1B-Instruct --weight-dtype q4_0 --chat --prompt "Why is the sky blue?"
  scripts/run_android.sh -s 192.168.0.7:5555 bench_model -m llama-1b.packed -p 128 -n 32 -o json > phone.json
USAGE
}

fail() {
    printf 'run_android.sh: %s\n' "$1" >&2
    exit "${2:-1}"
}

say() {
    if $verbose; then printf 'run_android.sh: %s\n' "$1" >&2; fi
}

serial='' static=false binary='' packer='' verbose=false pull_to=''
pulls=()
while test $# -gt 0; do
    case "$1" in
        -h | --help) usage; exit 0 ;;
        -s | --serial | --binary | --packer | --pull | --pull-to)
            test $# -ge 2 || fail "$1 needs a value" 2
            case "$1" in
                -s | --serial) serial="$2" ;;
                --binary) binary="$2" ;;
                --packer) packer="$2" ;;
                --pull) pulls+=("$2") ;;
                --pull-to) pull_to="$2" ;;
            esac
            shift 2 ;;
        --static) static=true; shift ;;
        --verbose) verbose=true; shift ;;
        -*) fail "unknown option $1; --help lists all options" 2 ;;
        *) break ;;
    esac
done
test $# -ge 1 || { usage >&2; exit 2; }
program="$1"
shift
case "$program" in
    generate | bench_model | micro_bench | test_backend | eval_model | quantize) ;;
    *) fail "no program '$program'; there are generate, bench_model, micro_bench, test_backend, eval_model, quantize" 2 ;;
esac
root="$(cd "$(dirname "$0")/.." && pwd)"
: "${pull_to:=$root/results/data}"

# ---- the phone

command -v adb >/dev/null || fail "adb is not installed; it is in Android's platform-tools and in Debian's package adb"

pick_device() {
    local listed ready=() other=() name state
    listed="$(adb devices 2>/dev/null)" || fail "adb devices fails; try 'adb kill-server'"
    while read -r name state; do
        test -n "$name" || continue
        if test -n "$serial" && test "$name" != "$serial"; then continue; fi
        if test "$state" = device; then ready+=("$name"); else other+=("$name is $state"); fi
    done < <(printf '%s\n' "$listed" | tail -n +2 | tr -d '\r')
    if test ${#ready[@]} -gt 1; then
        fail "there are ${#ready[@]} devices: ${ready[*]}; choose one with -s"
    fi
    if test ${#ready[@]} = 1; then
        serial="${ready[0]}"
        return
    fi
    case "${other[*]:-}" in
        *unauthorized*) fail "${other[0]}: unlock it and allow USB debugging for this computer" ;;
        *offline*) fail "${other[0]}: plug it in again, or 'adb reconnect offline'" ;;
        ?*) fail "${other[0]}, not ready" ;;
    esac
    if test -n "$serial"; then fail "adb knows no device $serial; 'adb devices' lists those it knows"; fi
    fail "adb knows no device; connect a phone with USB debugging on, or 'adb connect ADDRESS'"
}
pick_device
say "device $serial"

# For a shell: $1 in single quotes.
quoted() {
    local quote="'\\''"
    printf "'%s'" "${1//\'/"$quote"}"
}

# Runs a line in the phone's shell.
on_phone() { adb -s "$serial" shell "$1" </dev/null; }

on_phone "mkdir -p $(quoted "$DEVICE_DIR")" >&2 || fail "cannot make $DEVICE_DIR on $serial"

# ---- what goes there

# Free KiB where the folder is.
free_kib() { on_phone "df -k $(quoted "$DEVICE_DIR")" | tr -d '\r' | awk 'NR > 1 { print $(NF - 2); exit }'; }

# Brings file $1 to the phone as $2, unless it is there; in parts, so that it can go on after an interruption. By
# `shell -T`, since `exec-in` does not wait until the phone has written all.
push() {
    local file="$1" name="$2" size sum there place part
    place="$DEVICE_DIR/$name"
    size="$(wc -c <"$file" | tr -d ' ')"
    sum="$(sha256sum "$file" | cut -d' ' -f1)"
    there="$(on_phone "{ cat $(quoted "$place.sum"); wc -c < $(quoted "$place"); } 2>/dev/null; true" |
        tr -d '\r' | tr -s ' \n' ' ')"
    if test "${there# }" = "$sum $size "; then
        say "$name is there"
        return
    fi
    part="$place.$sum.part"
    local done_bytes
    done_bytes="$(on_phone "{ wc -c < $(quoted "$part"); } 2>/dev/null; true" | tr -dc '0-9')"
    : "${done_bytes:=0}"
    test "$done_bytes" -le "$size" || done_bytes=0
    test "$done_bytes" != 0 || on_phone "rm -f $(quoted "$place").*.part"
    local need free
    need=$(((size - done_bytes) / 1024 + 1))
    free="$(free_kib)"
    if test -n "$free" && test "$free" -lt "$need"; then
        fail "$name needs $((need / 1024 + 1)) MiB on $serial, and $DEVICE_DIR has $((free / 1024)) MiB free; delete \
something there, or use a smaller --weight-dtype"
    fi
    printf 'run_android.sh: pushing %s, %s MiB%s\n' "$name" "$((size / 1048576))" \
        "$(test "$done_bytes" = 0 || printf ' (%s MiB are there)' "$((done_bytes / 1048576))")" >&2
    if ! tail -c "+$((done_bytes + 1))" "$file" |
        adb -s "$serial" shell -T "cat >> $(quoted "$part")"; then
        fail "the push of $name ended early (is the phone still connected, and not full?); run this again to go on"
    fi
    local got
    got="$(on_phone "sha256sum $(quoted "$part")" | cut -d' ' -f1 | tr -d '\r')"
    if test "$got" != "$sum"; then
        done_bytes="$(on_phone "{ wc -c < $(quoted "$part"); } 2>/dev/null; true" | tr -dc '0-9')"
        if test "${done_bytes:-0}" -ge "$size"; then
            on_phone "rm -f $(quoted "$part")"
            fail "$name arrived damaged and was removed; run this again"
        fi
        fail "only ${done_bytes:-0} of $size bytes of $name arrived (is $DEVICE_DIR full?); run this again to go on"
    fi
    on_phone "mv $(quoted "$part") $(quoted "$place") && echo $sum > $(quoted "$place.sum")" ||
        fail "cannot finish $place on $serial"
}

# Builds the program for the phone, with its settings in no other build's way, and prints for which target.
build_for_phone() (
    target=aarch64-linux-android
    if $static; then
        # shellcheck source=/dev/null
        source "$root/scripts/arm64.source" >&2 || fail "this machine cannot build static programs for arm64"
        target="$ARM64_TARGET"
    elif test -z "${CARGO_TARGET_AARCH64_LINUX_ANDROID_LINKER:-}"; then
        # shellcheck source=/dev/null
        source "$root/android.source" >&2 || fail "no NDK; --static builds without one, for the CPU alone"
    fi
    cd "$root"
    cargo build --profile dist --target "$target" --bin "$program" >&2 || fail "the build failed"
    printf '%s' "$target"
)

build() {
    if test -n "$binary"; then
        test -f "$binary" || fail "there is no file $binary"
        return
    fi
    local target
    target="$(build_for_phone)" || exit 1
    binary="${CARGO_TARGET_DIR:-$root/target}/$target/dist/$program"
}

# The file to bring for model $1: itself, or of a directory the packed form, made once.
model_file() {
    local model="$1" dtype="$2" packed
    if test -f "$model"; then
        printf '%s' "$model"
        return
    fi
    packed="$model/.llm_rs2/phone-$dtype.packed"
    if ! test -f "$packed" || test -n "$(find "$model" -maxdepth 1 -type f -newer "$packed" -print -quit)"; then
        mkdir -p "$model/.llm_rs2" || fail "cannot write in $model; make a file with generate --pack-to and give that"
        if test -z "$packer"; then
            (cd "$root" && cargo build --release --bin generate) >&2 || fail "the build for this machine failed"
            packer="${CARGO_TARGET_DIR:-$root/target}/release/generate"
        fi
        "$packer" --model-path "$model" --weight-dtype "$dtype" \
            --pack-for arm64 --pack-overwrite --pack-to "$packed" >&2 || fail "$model cannot be packed"
    fi
    printf '%s' "$packed"
}

build
push "$binary" "$program"
on_phone "chmod 755 $(quoted "$DEVICE_DIR/$program")" || fail "cannot make $program executable on $serial"

dtype=auto previous=''
for argument in "$@"; do
    test "$previous" != --weight-dtype || dtype="$argument"
    case "$argument" in --weight-dtype=*) dtype="${argument#*=}" ;; esac
    previous="$argument"
done

line="cd $(quoted "$DEVICE_DIR") && echo \$\$ > pid.$program && exec ./$program"
previous=''
for argument in "$@"; do
    prefix='' path=''
    case "$previous" in -m | --model-path | -f | --file | --prompt-file) path="$argument" ;; esac
    case "$argument" in
        --model-path=* | --file=* | --prompt-file=*) prefix="${argument%%=*}=" path="${argument#*=}" ;;
    esac
    if test "$path" = -; then path=''; fi
    # -f is a list of names for micro_bench and test_backend.
    case "$program ${previous}" in "micro_bench -f" | "test_backend -f") path='' ;; esac
    # What quantize reads has no flags: whatever file is here. What it makes is not.
    case "$program $previous" in
        "quantize -o" | "quantize --imatrix-output") ;;
        quantize*) if test -f "$argument"; then path="$argument"; fi ;;
    esac
    if test -n "$path"; then
        test -e "$path" || fail "there is no file or directory $path on this machine"
        case "$previous $prefix" in
            "-m "* | "--model-path "* | *"--model-path=") file="$(model_file "$path" "$dtype")" ;;
            *) file="$path" ;;
        esac
        test -f "$file" || fail "$path is a directory"
        name="$(basename "$(dirname "$(realpath "$file")")")-$(basename "$file")"
        case "$file" in */.llm_rs2/phone-*) name="$(basename "$(realpath "$path")")-$(basename "$file")" ;; esac
        push "$file" "$name"
        argument="$prefix$name"
    fi
    line+=" $(quoted "$argument")"
    previous="${argument}"
done

# ---- the run

# shellcheck disable=SC2317
interrupted() {
    trap - INT TERM
    # Again and again, since a program that is about to start does not hear it yet.
    on_phone "p=\$(cat $(quoted "$DEVICE_DIR/pid.$program")); n=0
        while test \$n -lt 40 && kill -INT \$p; do n=\$((n + 1)); sleep 0.5; done
        kill -9 \$p" >/dev/null 2>&1 &
    test -z "${child:-}" || wait "$child" 2>/dev/null || true
    kill $! 2>/dev/null || true
    exit 130
}
trap interrupted INT TERM
say "running $program"
code=0
# In the background, so that an interruption is heard at once; with standard input if it is no terminal.
if test -t 0; then
    adb -s "$serial" shell "$line" </dev/null &
else
    adb -s "$serial" shell "$line" <&0 &
fi
child=$!
wait "$child" || code=$?
trap - INT TERM
if test "$code" = 255 && ! adb -s "$serial" get-state >/dev/null 2>&1; then
    fail "the connection to $serial was lost"
fi

for path in ${pulls[@]+"${pulls[@]}"}; do
    mkdir -p "$pull_to"
    adb -s "$serial" pull "$DEVICE_DIR/$path" "$pull_to/" >&2 || fail "cannot bring $path from $serial"
done
exit "$code"
