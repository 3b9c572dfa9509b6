#!/bin/sh
# Prints what a machine is, then once in a while how it does, for scripts/android_profile.py; runs on Android and Linux.
# Needs no more than a shell, cat, date and sed. What cannot be read is left out.
#
# usage: sample_device.sh PID_FILE SECONDS [ROOT]     (ROOT: in front of /sys and /proc, for tests)
#
# A line is a key and values; a line with a dot ends a sample. Ends when the reader closes the pipe.

pid_file="$1" seconds="$2" root="${3:-}"
cpus="$root/sys/devices/system/cpu"
thermal="$root/sys/class/thermal"
battery="$root/sys/class/power_supply/battery"
test -d "$battery" || battery="$root/sys/class/power_supply/BAT0"

# $1 as the first line of file $2, if it can be read and is not empty.
line() {
    value=''
    { read -r value <"$2"; } 2>/dev/null
    test -z "$value" || echo "$1 $value"
}

# ---- once

if command -v getprop >/dev/null 2>&1; then
    echo "name $(getprop ro.product.manufacturer) $(getprop ro.product.model)"
    echo "soc $(getprop ro.soc.manufacturer) $(getprop ro.soc.model)"
    echo "system Android $(getprop ro.build.version.release)"
else
    echo "system $(uname -s) $(uname -r | sed 's/[^0-9.].*//')"
fi
sed -n '/^model name/{s/.*: */name /p;q;}' "$root/proc/cpuinfo" 2>/dev/null
sed -n 's/^MemTotal: *\([0-9]*\).*/memory_kb \1/p' "$root/proc/meminfo" 2>/dev/null
line cpus "$cpus/present"
for policy in "$cpus"/cpufreq/policy*; do
    line "cluster ${policy##*policy}" "$policy/related_cpus"
    line "cluster_max ${policy##*policy}" "$policy/cpuinfo_max_freq"
done
for zone in "$thermal"/thermal_zone*; do
    line "zone ${zone##*thermal_zone}" "$zone/type"
done
echo .

# ---- each time

temperatures() {
    found=''
    for zone in "$thermal"/thermal_zone*; do
        line "temp ${zone##*thermal_zone}" "$zone/temp"
        found="$found$value"
    done
    if test -z "$found" && test -z "$root" && command -v dumpsys >/dev/null 2>&1; then
        # What the vendor's thermal service reports, where zones are closed to the shell.
        dumpsys thermalservice 2>/dev/null |
            sed -n '/Current temperatures from HAL/,/Current cooling/s/.*mValue=\([0-9.]*\).*mName=\([^,]*\),.*/hal \2 \1/p'
    fi
}

frequencies() {
    found=''
    for policy in "$cpus"/cpufreq/policy*; do
        line "freq ${policy##*policy}" "$policy/scaling_cur_freq"
        found="$found$value"
    done
    # Virtual machines have no governor, but x86 reports a clock.
    test -n "$found" || sed -n 's/^cpu MHz[^0-9]*\([0-9]*\).*/mhz \1/p' "$root/proc/cpuinfo" 2>/dev/null
}

memory() {
    sed -n 's/^MemAvailable: *\([0-9]*\).*/available_kb \1/p' "$root/proc/meminfo" 2>/dev/null
    pid=''
    { read -r pid <"$pid_file"; } 2>/dev/null
    test -n "$pid" || return
    sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/rss_kb \1/p' "/proc/$pid/status" 2>/dev/null
    sed -n 's/^Pss: *\([0-9]*\).*/pss_kb \1/p' "/proc/$pid/smaps_rollup" 2>/dev/null
}

power() {
    found=''
    for entry in capacity temp current_now voltage_now; do
        line "battery_$entry" "$battery/$entry"
        found="$found$value"
    done
    if test -z "$found" && test -z "$root" && command -v dumpsys >/dev/null 2>&1; then
        dumpsys battery 2>/dev/null | sed -n 's/^ *level: \(.*\)/battery_capacity \1/p
            s/^ *temperature: \(.*\)/battery_temp \1/p
            s/^ *voltage: \(.*\)/battery_voltage_now \1000/p'
    fi
}

gpu() {
    # Adreno, Xclipse and newer Mali, Mali.
    for file in "$root/sys/class/kgsl/kgsl-3d0/gpu_busy_percentage" "$root/sys/kernel/gpu/gpu_busy" \
        "$root/sys/class/misc/mali0/device/utilization"; do
        line gpu_load "$file"
        test -z "$value" || break
    done
}

while true; do
    echo "time $(date +%s.%N)"
    temperatures
    frequencies
    memory
    power
    gpu
    echo . || exit 0
    sleep "$seconds"
done
