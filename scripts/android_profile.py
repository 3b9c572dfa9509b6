#!/usr/bin/env python3
"""Run a benchmark on a phone over adb, or on this machine, and sample the device meanwhile.

Once a second: temperatures, clocks of the clusters of cores, the program's memory, battery and load of the GPU, as far as
they can be read. Before each run it waits until the device is cool. results/SCHEMA.md describes the file that it writes;
scripts/visualize_profile.py plots it and scripts/results_page.py makes a page of all results.

usage: android_profile.py [OPTION...] PROGRAM [ARGUMENT...]     PROGRAM: bench_model or generate

  android_profile.py --cool-to 38 --repeat 3 bench_model -m llama-1b.packed -p 128 -n 64 -r 20
  android_profile.py --local bench_model --shape demo -p 256 -n 256
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

import check_results
from device_samples import PROCESSOR_ZONES, Samples

ROOT = pathlib.Path(__file__).resolve().parent.parent
SAMPLER = ROOT / "scripts" / "sample_device.sh"
DEVICE_DIR = os.environ.get("LLM_RS2_DEVICE_DIR", "/data/local/tmp/llm_rs2")
QUIET = {"bench_model": ["-o", "json", "-q"], "generate": ["--json", "-q"]}


class ProfileError(Exception):
    """An error message for the user."""


class Device:
    """This machine, or a phone over adb."""

    def __init__(self, options: argparse.Namespace, folder: pathlib.Path) -> None:
        self.local = options.local
        self.adb = ["adb", *(["-s", options.serial] if options.serial else [])]
        self.runner = [str(ROOT / "scripts" / "run_android.sh"), *(["-s", options.serial] if options.serial else [])]
        self.runner += ["--static"] if options.static else []
        self.runner += ["--binary", str(options.binary)] if options.binary else []
        self.pid_file = str(folder / "pid") if self.local else f"{DEVICE_DIR}/pid.{options.program}"
        self.binary = options.binary
        self.root = options.sys_root

    def prepare(self, program: str, arguments: list[str]) -> None:
        """Builds what has to be built and brings it to the phone, so that no run does that."""
        if not self.local:
            # With --help the program ends at once, when it and all files are there.
            run = subprocess.run([*self.runner, program, *arguments, "--help"], check=False, stdout=subprocess.DEVNULL)
        elif self.binary:
            return
        else:
            command = ["cargo", "build", "--release", "--quiet", "--bin", program]
            run = subprocess.run(command, check=False, cwd=ROOT, stdout=sys.stderr)
            self.binary = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / program
        if run.returncode:
            raise ProfileError(f"{program} cannot be prepared, see above")

    def sampler(self, interval: float) -> subprocess.Popen:
        """Starts the sampling script there; its standard output is the samples."""
        arguments = ["-s", self.pid_file, f"{interval:g}", self.root]
        if self.local:
            command = ["sh", *arguments]
        else:
            command = [*self.adb, "shell", " ".join(["sh", *("'" + a.replace("'", "'\\''") + "'" for a in arguments)])]
        with SAMPLER.open() as script:
            return subprocess.Popen(command, stdin=script, stdout=subprocess.PIPE, text=True, errors="replace")

    def run(self, program: str, arguments: list[str]) -> str:
        """Runs the program to its end and returns what it printed."""
        if not self.local:
            command = [*self.runner, program, *arguments]
            run = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            code, printed = run.returncode, run.stdout
        else:
            with subprocess.Popen([self.binary, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as child:
                pathlib.Path(self.pid_file).write_text(f"{child.pid}\n")
                printed, _ = child.communicate()
                code = child.returncode
        if code:
            raise ProfileError(f"{program} ended with exit code {code}, see above")
        return printed


class Watch:
    """The sampler and the thread that reads it."""

    def __init__(self, device: Device, interval: float) -> None:
        self.samples = Samples()
        self.process = device.sampler(interval)
        self.news = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            with self.news:
                if self.samples.line(line):
                    self.news.notify_all()
        with self.news:
            self.process.stdout.close()
            self.news.notify_all()

    def next(self, patience: float = 30) -> None:
        """Waits for one more sample."""
        with self.news:
            count = len(self.samples.times)
            self.news.wait_for(lambda: len(self.samples.times) > count or self.process.stdout.closed, patience)
            if len(self.samples.times) == count:
                raise ProfileError("the device sends no samples; is it still connected, and its sh a usual one?")

    def stop(self) -> None:
        """Ends the sampler."""
        self.process.terminate()
        self.process.wait()


def cool_down(watch: Watch, options: argparse.Namespace) -> tuple[float, bool | None]:
    """Waits until the device is cool; how long, and whether it is (None if no temperature can be read)."""
    watch.next()
    if options.cool_to is None:
        return 0, None
    begun = reported = time.monotonic()
    while True:
        hottest = watch.samples.hottest(options.zones)
        waited = time.monotonic() - begun
        if hottest is None:
            print("android_profile.py: no temperature can be read here, so there is no waiting", file=sys.stderr)
            return 0, None
        if hottest <= options.cool_to:
            return round(waited, 1), True
        if waited > options.cool_at_most:
            print(f"android_profile.py: still {hottest:.1f} C after {waited:.0f} s; going on", file=sys.stderr)
            return round(waited, 1), False
        if time.monotonic() - reported >= 10 or reported == begun:
            reported = time.monotonic()
            print(f"android_profile.py: {hottest:.1f} C, waiting for {options.cool_to:g}", file=sys.stderr)
        watch.next()


def bench_speeds(report: list[dict], start: float) -> list[dict]:
    """When each run of bench_model's took place and how fast it was, from the end of the last one backwards."""
    speeds = []
    for row in report:
        end = row["end_time_ns"] / 1e9 - start
        part = []
        for nanoseconds, rate in reversed(list(zip(row["samples_ns"], row["samples_ts"]))):
            begin = end - nanoseconds / 1e9
            part.append(speed(row["n_prompt"], row["n_gen"], row["n_depth"], begin, end, rate))
            end = begin
        speeds += reversed(part)
    return speeds


def generate_speeds(report: dict, end: float) -> list[dict]:
    """The same of generate, which ends when its text does."""
    times, prompt, generated = report["timings"], report["prompt_tokens"], len(report["ids"])
    middle = end - times["decode_s"]
    speeds = []
    if times["prefill_tokens_per_s"]:
        speeds.append(speed(prompt, 0, 0, middle - times["prefill_s"], middle, times["prefill_tokens_per_s"]))
    if times["decode_tokens_per_s"]:
        speeds.append(speed(0, generated, prompt, middle, end, times["decode_tokens_per_s"]))
    return speeds


def speed(prompt: int, generated: int, depth: int, start: float, end: float, rate: float) -> dict:
    """One measurement."""
    counts = {"n_prompt": prompt, "n_gen": generated, "n_depth": depth}
    return counts | {"start_s": round(start, 3), "end_s": round(end, 3), "tokens_per_s": round(rate, 3)}


def one_run(device: Device, watch: Watch, options: argparse.Namespace, start: float) -> dict:
    """Cools, runs, and reports."""
    waited, cool = cool_down(watch, options)
    first = len(watch.samples.times)
    printed = device.run(options.program, options.arguments + QUIET[options.program])
    watch.next()
    alive = [i for i in range(first, len(watch.samples.times)) if seen(watch.samples, i)]
    times = watch.samples.times
    # A program that was shorter than the interval may not have been seen.
    began, ended = (times[alive[0]], times[alive[-1]]) if alive else (times[first - 1], times[-1])
    try:
        report = check_results.strict(printed)
        if options.program == "bench_model":
            speeds = bench_speeds(report, start)
        else:
            speeds = generate_speeds(report, ended - start)
            # The text is private.
            report = {key: report[key] for key in ("prompt_tokens", "finish", "timings", "memory", "settings", "version")}
    except (ValueError, KeyError, TypeError) as error:
        raise ProfileError(f"{options.program} printed no report that can be read ({error!r})") from error
    if not speeds:
        raise ProfileError(f"{options.program} measured nothing")
    began = min(began, start + min(s["start_s"] for s in speeds))
    ended = max(ended, start + max(s["end_s"] for s in speeds))
    return {
        "waited_s": waited,
        "cool": cool,
        "start_s": round(began - start, 3),
        "end_s": round(ended - start, 3),
        "speeds": speeds,
        "report": report,
    }


def seen(samples: Samples, index: int) -> bool:
    """Whether the program ran in that sample."""
    column = samples.columns.get(("rss_bytes", ""))
    return column is not None and column[index] is not None


def document(samples: Samples, runs: list[dict], options: argparse.Namespace, start: float) -> dict:
    """The file's contents."""
    report = runs[0]["report"]
    if options.program == "bench_model":
        prompt, generated = (max(row[key] for row in report) for key in ("n_prompt", "n_gen"))
        backend, type_w, model = report[0]["backends"], report[0]["type_w"], report[0]["model_type"]
    else:
        last = runs[0]["speeds"][-1]
        prompt, generated = report["prompt_tokens"], last["n_gen"]
        backend = re.match(r"\w*", report["settings"]["backend"])[0].lower() or "unknown"
        type_w, model = report["settings"]["weight_dtype"], report["settings"]["model"]
    device = {"name": "unknown", "system": "unknown"} | samples.device
    device |= {"local": options.local, "clusters": list(samples.clusters.values())}
    return {
        "kind": "profile",
        "version": 1,
        "date": datetime.datetime.fromtimestamp(start, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **({"name": options.name} if options.name else {}),
        "device": device,
        "program": options.program,
        "arguments": [without_folders(argument) for argument in options.arguments],
        "backend": backend,
        "type_w": type_w,
        "model": pathlib.PurePath(model).name,
        "n_prompt": prompt,
        "n_gen": generated,
        "interval_s": options.interval,
        "cooling": {"to_c": options.cool_to, "at_most_s": options.cool_at_most},
        "runs": runs,
        "series": samples.series(start),
    }


def without_folders(argument: str) -> str:
    """An argument without the folders of a path in it, which may contain a user's name."""
    return pathlib.PurePath(argument).name if os.path.isabs(argument) or os.path.exists(argument) else argument


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", choices=sorted(QUIET))
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the program's own")
    parser.add_argument("--local", action="store_true", help="this machine instead of a phone")
    parser.add_argument("-s", "--serial", help="the phone, if adb knows several")
    parser.add_argument("--static", action="store_true", help="build a static program, which needs no NDK (CPU only)")
    parser.add_argument("--binary", type=pathlib.Path, help="a program that is built already")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="runs, each after cooling (default 1)")
    parser.add_argument("--cool-to", type=float, metavar="C", help="wait before each run until the hottest zone is at C degrees")
    parser.add_argument("--cool-at-most", type=float, default=600, metavar="S", help="seconds to wait at most (default 600)")
    parser.add_argument("--zones", type=re.compile, default=PROCESSOR_ZONES, metavar="REGEX", help="zones that count for that")
    parser.add_argument("--interval", type=float, default=1, metavar="S", help="seconds between samples (default 1)")
    parser.add_argument("--name", help="words for this profile, shown where it is drawn")
    parser.add_argument("--output-dir", type=pathlib.Path, default=check_results.DATA, help="default: results/data")
    parser.add_argument("--sys-root", default="", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.repeat < 1 or options.interval <= 0:
        parser.error("--repeat and --interval have to be above 0")
    if options.local and (options.serial or options.static):
        parser.error("--local is this machine; --serial and --static are for a phone")
    return options


def profile(options: argparse.Namespace) -> pathlib.Path:
    """Makes the profile and writes it."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        device = Device(options, folder)
        device.prepare(options.program, options.arguments)
        watch = Watch(device, options.interval)
        stack.callback(watch.stop)
        watch.next()
        start = watch.samples.times[0]
        runs = [one_run(device, watch, options, start) for _ in range(options.repeat)]
    result = document(watch.samples, runs, options, start)
    if found := check_results.problems(result):
        raise ProfileError(f"the profile is not as results/SCHEMA.md wants it: {found[0]}")
    options.output_dir.mkdir(parents=True, exist_ok=True)
    date = result["date"].replace(":", "").removesuffix("Z")
    path = options.output_dir / f"profile_{result['backend']}_{result['n_prompt']}_{result['n_gen']}_{date}.json"
    path.write_text(compact(result) + "\n", encoding="utf-8")
    return path


def compact(value: dict) -> str:
    """JSON with a line for each field and each list of numbers, so that differences can be read."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    return re.sub(r"\[[^\[\]{}\"]*\]", lambda found: re.sub(r"\s+", " ", found[0]), text)


def main() -> int:
    """Runs, prints the file's name."""
    try:
        print(profile(parsed(sys.argv[1:])))
    except ProfileError as error:
        print(f"android_profile.py: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"android_profile.py: {error.filename or 'system'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
