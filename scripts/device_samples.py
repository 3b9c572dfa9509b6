"""What scripts/sample_device.sh prints, as a description of the device and columns of samples."""

import re
from collections.abc import Callable

# Zones that say how hot the processor is; phones have dozens of others (modem, charger, camera).
PROCESSOR_ZONES = re.compile(r"cpu|gpu|soc|tsens|skin|big|little|mid\b|x86_pkg|coretemp|acpitz|^ap\b", re.IGNORECASE)


class Samples:
    """Gathers lines. What was read in one sample and not in another is None in that one."""

    def __init__(self) -> None:
        self.device: dict = {}
        self.clusters: dict[str, dict] = {}
        self.zones: dict[str, str] = {}
        self.times: list[float] = []
        self.columns: dict[tuple[str, str], list[float | None]] = {}
        self._sample: dict[tuple[str, str], float] = {}
        self._time: float | None = None

    def line(self, text: str) -> bool:
        """Takes a line; whether it ends a sample."""
        key, _, value = text.strip().partition(" ")
        value = value.strip()
        if key == ".":
            return self._end()
        if key in ("name", "soc", "system", "cpus"):
            # The first is the best: a phone's name comes before its processor's.
            self.device.setdefault(key, value)
            return False
        first, _, rest = value.partition(" ")
        if key == "memory_kb" and value.isdigit():
            self.device["memory_bytes"] = int(value) * 1024
        elif key == "cluster":
            cpus = rest.split()
            span = f"{cpus[0]}-{cpus[-1]}" if len(cpus) > 1 else rest
            self.clusters[first] = {"name": f"cpu {span}", "cpus": rest}
        elif key == "cluster_max" and first in self.clusters:
            self._number(lambda n: self.clusters[first].update(max_mhz=n / 1000), rest)
        elif key == "zone":
            # Several zones may have one name.
            self.zones[first] = f"{rest} {first}" if rest in self.zones.values() else rest
        else:
            self._reading(key, first, rest)
        return False

    def _reading(self, key: str, first: str, rest: str) -> None:
        if key == "time":
            # A date without nanoseconds ends in a letter.
            self._number(lambda n: setattr(self, "_time", n), re.sub(r"\.?%?N$", "", first))
        elif key == "temp":
            self._number(lambda n: self._set("temperature_c", self.zones.get(first, first), celsius(n)), rest)
        elif key == "hal":
            self._number(lambda n: self._set("temperature_c", first, n), rest)
        elif key == "freq" and first in self.clusters:
            self._number(lambda n: self._set("frequency_mhz", self.clusters[first]["name"], n / 1000), rest)
        elif key == "mhz":
            self._number(lambda n: self._fastest("frequency_mhz", "fastest cpu", n), first)
        elif key in ("rss_kb", "pss_kb", "available_kb"):
            self._number(lambda n: self._set(key.replace("_kb", "_bytes"), "", n * 1024), first)
        elif key == "battery_capacity":
            self._number(lambda n: self._set("battery_percent", "", n), first)
        elif key == "battery_temp":
            self._number(lambda n: self._set("battery_c", "", n / 10), first)
        elif key == "battery_current_now":
            # Microamperes, but some drivers count in milliamperes.
            self._number(lambda n: self._set("battery_ma", "", n / 1000 if abs(n) > 20_000 else n), first)
        elif key == "battery_voltage_now":
            self._number(lambda n: self._set("battery_v", "", n / 1e6), first)
        elif key == "gpu_load":
            self._number(lambda n: self._set("gpu_percent", "", n), first.rstrip("%"))

    @staticmethod
    def _number(use: Callable[[float], object], text: str) -> None:
        """Uses a number; what is none was not readable."""
        try:
            value = float(text)
        except ValueError:
            return
        if abs(value) < 1e18:
            use(value)

    def _set(self, column: str, part: str, value: float | None) -> None:
        if value is not None:
            value = round(value, 3)
            self._sample[column, part] = int(value) if value == int(value) else value

    def _fastest(self, column: str, part: str, value: float) -> None:
        self._set(column, part, max(value, self._sample.get((column, part), 0)))

    def _end(self) -> bool:
        """Whether that was a sample: the description in front ends so too."""
        sample, time, self._sample, self._time = self._sample, self._time, {}, None
        if time is None:
            return False
        for key in self.columns.keys() | sample.keys():
            column = self.columns.setdefault(key, [None] * len(self.times))
            column.append(sample.get(key))
        self.times.append(time)
        return True

    def last(self, column: str) -> float | None:
        """The newest value of a column without parts."""
        values = self.columns.get((column, ""))
        return values[-1] if values else None

    def hottest(self, zones: re.Pattern[str]) -> float | None:
        """The highest of the newest temperatures in zones of such names, or of all if there are none such."""
        newest = {p: c[-1] for (name, p), c in self.columns.items() if name == "temperature_c" and c[-1] is not None}
        return max((v for p, v in newest.items() if zones.search(p)), default=max(newest.values(), default=None))

    def series(self, start: float, first: int = 0) -> dict:
        """All columns from sample `first` on, with times relative to `start`."""
        out: dict = {"time_s": [round(time - start, 2) for time in self.times[first:]]}
        for (name, part), values in sorted(self.columns.items()):
            if all(value is None for value in values[first:]):
                continue
            if part:
                out.setdefault(name, {})[part] = values[first:]
            else:
                out[name] = values[first:]
        return out


def celsius(value: float) -> float | None:
    """Degrees of a zone's figure, which is in thousandths, or tenths, or whole; None for one that is no temperature."""
    degrees = value / 1000 if abs(value) >= 1000 else value / 10 if abs(value) >= 200 else value
    return degrees if -40 < degrees < 150 else None
