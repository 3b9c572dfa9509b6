"""Profiles: reading samples, real runs on this machine, and a phone through a stand-in for adb."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import check_results
import places
from device_samples import PROCESSOR_ZONES, Samples, celsius

try:
    import matplotlib
except ImportError:
    matplotlib = None

BENCH = ["bench_model", "--shape", "demo", "-p", "16", "-n", "8", "-r", "3"]


def made_up_phone(root: pathlib.Path, temperature: int) -> None:
    """Files as a phone's /sys and /proc have them."""
    files = {
        "sys/devices/system/cpu/present": "0-7",
        "sys/devices/system/cpu/cpufreq/policy0/related_cpus": "0 1 2 3",
        "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "1800000",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1500000",
        "sys/devices/system/cpu/cpufreq/policy7/related_cpus": "7",
        "sys/devices/system/cpu/cpufreq/policy7/scaling_cur_freq": "2900000",
        "sys/class/thermal/thermal_zone0/type": "cpu-0-0",
        "sys/class/thermal/thermal_zone0/temp": str(temperature),
        "sys/class/thermal/thermal_zone1/type": "charger",
        "sys/class/thermal/thermal_zone1/temp": "990",
        "sys/class/thermal/thermal_zone2/type": "cpu-0-0",
        "sys/class/thermal/thermal_zone2/temp": "-274000",
        "sys/class/power_supply/battery/capacity": "81",
        "sys/class/power_supply/battery/temp": "312",
        "sys/class/power_supply/battery/current_now": "-1250000",
        "sys/class/power_supply/battery/voltage_now": "4012000",
        "sys/class/kgsl/kgsl-3d0/gpu_busy_percentage": "37 %",
        "proc/cpuinfo": "processor : 0\nmodel name : Made Up\n",
        "proc/meminfo": "MemTotal: 8000000 kB\nMemAvailable: 5000000 kB\n",
    }
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")


class Reading(unittest.TestCase):
    def test_samples_become_columns_of_one_length(self) -> None:
        samples = Samples()
        lines = "name A\nname B\nzone 0 cpu\nzone 1 cpu\n.\ntime 10.5\ntemp 0 45200\ntemp 1 junk\n.\ntime 11.N\ntemp 1 38\nrss_kb 2\n."
        ended = [line for line in lines.split("\n") if samples.line(line)]
        self.assertEqual(len(ended), 2)
        self.assertEqual(samples.device["name"], "A")
        series = {"time_s": [0, 0.5], "temperature_c": {"cpu": [45.2, None], "cpu 1": [None, 38]}, "rss_bytes": [None, 2048]}
        self.assertEqual(samples.series(10.5), series)
        self.assertEqual(samples.hottest(PROCESSOR_ZONES), 38)

    def test_units_of_temperatures(self) -> None:
        self.assertEqual([celsius(v) for v in (45_200, 312, 38, 0, -274_000, 1_000_000)], [45.2, 31.2, 38, 0, None, None])


@unittest.skipUnless(places.program("bench_model") and places.program("generate"), "the programs are not built")
class Running(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def profile(self, *options: str, environment: dict | None = None) -> tuple[subprocess.CompletedProcess, dict | None]:
        """Runs the script; what it said, and the profile that it wrote."""
        name = next(option for option in options if option in ("bench_model", "generate"))
        command = [sys.executable, "-B", str(places.SCRIPTS / "android_profile.py"), "--binary", str(places.program(name))]
        command += ["--interval", "0.1", "--output-dir", str(self.folder / "out"), *options]
        run = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | (environment or {}))
        files = list((self.folder / "out").glob("*.json"))
        return run, json.loads(files[0].read_text()) if run.returncode == 0 else None

    def check(self, profile: dict) -> None:
        """What holds of every profile of these runs."""
        self.assertEqual(check_results.problems(profile), [])
        for run in profile["runs"]:
            times = [t for s in run["speeds"] for t in (s["start_s"], s["end_s"])]
            self.assertEqual(times, sorted(times))
            self.assertTrue(run["start_s"] <= times[0] and times[-1] <= run["end_s"], run)

    def test_a_benchmark_on_this_machine(self) -> None:
        run, profile = self.profile("--local", "--repeat", "2", "--name", "try", *BENCH)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.check(profile)
        self.assertEqual([len(r["speeds"]) for r in profile["runs"]], [6, 6])
        self.assertEqual((profile["backend"], profile["n_prompt"], profile["n_gen"], profile["name"]), ("cpu", 16, 8, "try"))
        self.assertTrue(pathlib.Path(run.stdout.strip()).name.startswith("profile_cpu_16_8_20"))
        self.assertGreater(profile["runs"][1]["start_s"], profile["runs"][0]["end_s"])

    def test_a_text_on_this_machine_is_not_kept(self) -> None:
        prompt = ["-p", "Once upon a time", "-n", "300", "--ignore-eos", "--eviction-policy", "sliding", "--eviction-window", "64"]
        run, profile = self.profile("--local", "generate", *prompt)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.check(profile)
        self.assertEqual([s["n_gen"] for s in profile["runs"][0]["speeds"]], [0, 300])
        self.assertNotIn("text", profile["runs"][0]["report"])

    def test_the_memory_of_a_program_that_runs_is_sampled(self) -> None:
        # Of this very program, since one that ends soon may fall between two samples.
        pid_file = self.folder / "pid"
        pid_file.write_text(f"{os.getpid()}\n")
        command = ["sh", str(places.SCRIPTS / "sample_device.sh"), str(pid_file), "0.05"]
        samples = Samples()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sampler:
            for line in sampler.stdout:
                samples.line(line)
                if len(samples.times) == 2:
                    sampler.terminate()
        self.assertGreater(min(samples.columns["rss_bytes", ""]), 1_000_000)

    def test_a_phone_behind_adb(self) -> None:
        made_up_phone(self.folder / "root", 36_500)
        path = f"{places.ROOT / 'tests' / 'fixtures' / 'adb'}:{os.environ['PATH']}"
        environment = {"PATH": path, "FAKE_DEVICES": "A device", "LLM_RS2_DEVICE_DIR": str(self.folder / "it's a phone")}
        options = ["--sys-root", str(self.folder / "root"), "--cool-to", "40", *BENCH]
        run, profile = self.profile("-s", "A", *options, environment=environment)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.check(profile)
        self.assertEqual(profile["device"]["name"], "Made Up")
        self.assertEqual([c["cpus"] for c in profile["device"]["clusters"]], ["0 1 2 3", "7"])
        self.assertEqual(profile["device"]["clusters"][0]["max_mhz"], 1800)
        self.assertTrue(profile["runs"][0]["cool"])
        last = {key: value[-1] for key, value in profile["series"].items() if isinstance(value, list)}
        wanted = {"available_bytes": 5_120_000_000, "battery_percent": 81, "battery_c": 31.2, "battery_ma": -1250}
        wanted |= {"battery_v": 4.012, "gpu_percent": 37}
        self.assertEqual({key: last[key] for key in wanted}, wanted)
        self.assertEqual({k: v[-1] for k, v in profile["series"]["temperature_c"].items()}, {"cpu-0-0": 36.5, "charger": 99})
        self.assertEqual({k: v[-1] for k, v in profile["series"]["frequency_mhz"].items()}, {"cpu 0-3": 1500, "cpu 7": 2900})

    def test_a_hot_device_is_waited_for_so_long_and_no_longer(self) -> None:
        made_up_phone(self.folder / "root", 61_000)
        options = ["--sys-root", str(self.folder / "root"), "--cool-to", "40", "--cool-at-most", "0.5", *BENCH]
        run, profile = self.profile("--local", *options)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("still 61.0 C after ", run.stderr)
        self.assertFalse(profile["runs"][0]["cool"])
        self.assertGreaterEqual(profile["runs"][0]["waited_s"], 0.5)

    def test_a_program_that_fails_is_a_sentence(self) -> None:
        run, _ = self.profile("--local", "bench_model", "--shape", "demo", "-p", "0", "-n", "0")
        self.assertEqual(run.returncode, 1)
        self.assertIn("android_profile.py: bench_model ended with exit code 1, see above", run.stderr)
        self.assertIn("there is nothing to measure", run.stderr)

    @unittest.skipUnless(matplotlib, "there is no matplotlib here")
    def test_profiles_are_drawn(self) -> None:
        paths = [self.folder / "a.json", self.folder / "b.json"]
        for path in paths:
            path.write_text(json.dumps(places.profile()))
        out = self.folder / "out.png"
        command = [sys.executable, "-B", str(places.SCRIPTS / "visualize_profile.py"), *map(str, paths), "-o", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        self.assertEqual(out.read_bytes()[:8], b"\x89PNG\r\n\x1a\n")
        paths[1].write_text("{}")
        run = subprocess.run(command, check=False, capture_output=True, text=True)
        self.assertEqual((run.returncode, "a profile is needed" in run.stderr), (1, True), run.stderr)
