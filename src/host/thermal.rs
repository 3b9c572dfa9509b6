//! How hot the machine is: `/sys/class/thermal`.

use std::fs;
use std::path::{Path, PathBuf};

use super::read_text;

/// Where Linux and Android have their thermal zones.
pub const THERMAL_ROOT: &str = "/sys/class/thermal";

/// A zone and its temperature.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// What the system calls it: `cpu-0-0`, `soc_thermal`, `x86_pkg_temp`.
    pub name: String,
    /// Degrees Celsius; `None` where it cannot be read, or is nothing that a machine can have.
    pub celsius: Option<f64>,
}

/// The zones of processor and chip under one directory.
#[derive(Clone, Debug)]
pub struct Thermal {
    zones: Vec<(String, PathBuf)>,
}

/// Parts of the names of zones that are about what computes, as Qualcomm, MediaTek, Samsung, Google, Intel, AMD and
/// board makers name them. Batteries, modems, charging and skin are warm for reasons of their own.
const COMPUTING: &[&str] = &[
    "cpu", "gpu", "soc", "x86_pkg", "acpitz", "big", "mid", "little", "cluster", "core", "tsens_tz", "aoss",
];

/// Zones whose name has a part of the others, and means something else.
const OTHER: &[&str] = &["step", "usr", "virt", "max-step", "lowf"];

impl Thermal {
    /// The zones under `root` ([`THERMAL_ROOT`]) that are about what computes, and can be read. Several may have the
    /// same name.
    pub fn find(root: &Path) -> Self {
        let mut zones = Vec::new();
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let path = entry.path();
            let number =
                entry.file_name().to_str().and_then(|n| n.strip_prefix("thermal_zone")?.parse().ok());
            let (Some(number), Some(name)) = (number, read_text(&path.join("type"))) else { continue };
            let number: u32 = number;
            let lower = name.to_lowercase();
            let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
            if has(COMPUTING) && !has(OTHER) && read(&path).is_some() {
                zones.push((number, name, path));
            }
        }
        zones.sort();
        Self { zones: zones.into_iter().map(|(_, name, path)| (name, path)).collect() }
    }

    /// Whether there is no such zone.
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }

    /// All of them, as they are now.
    pub fn zones(&self) -> Vec<Zone> {
        self.zones.iter().map(|(name, path)| Zone { name: name.clone(), celsius: read(path) }).collect()
    }

    /// The hottest one now, with its name; `None` if none can be read.
    pub fn hottest(&self) -> Option<(&str, f64)> {
        let read = self.zones.iter().filter_map(|(name, path)| Some((name.as_str(), read(path)?)));
        read.max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Degrees Celsius of the zone in `dir`. The kernel's documentation asks for thousandths; some drivers give whole
/// degrees. Sensors that are switched off give zero, or something far below or above what exists.
fn read(dir: &Path) -> Option<f64> {
    let raw: i64 = read_text(&dir.join("temp"))?.parse().ok()?;
    let celsius = if (-200..=200).contains(&raw) { raw as f64 } else { raw as f64 / 1000.0 };
    (raw != 0 && (-50.0..=180.0).contains(&celsius)).then_some(celsius)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(root: &Path, number: u32, name: &str, temp: &str) {
        let dir = root.join(format!("thermal_zone{number}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("type"), format!("{name}\n")).unwrap();
        fs::write(dir.join("temp"), format!("{temp}\n")).unwrap();
    }

    #[test]
    fn zones_of_what_computes_are_found_in_order() {
        let dir = tempfile::tempdir().unwrap();
        zone(dir.path(), 10, "gpuss-0-usr", "99000");
        zone(dir.path(), 2, "cpu-1-0", "61500");
        zone(dir.path(), 11, "GPUSS-0", "58000");
        zone(dir.path(), 3, "battery", "90000");
        zone(dir.path(), 4, "soc_thermal", "45");
        zone(dir.path(), 5, "cpu-off", "-274000");
        fs::create_dir(dir.path().join("cooling_device0")).unwrap();
        let thermal = Thermal::find(dir.path());
        let named = |name: &str, celsius| Zone { name: name.into(), celsius: Some(celsius) };
        assert_eq!(
            thermal.zones(),
            [named("cpu-1-0", 61.5), named("soc_thermal", 45.0), named("GPUSS-0", 58.0)]
        );
        assert_eq!(thermal.hottest(), Some(("cpu-1-0", 61.5)));
        zone(dir.path(), 4, "soc_thermal", "80000");
        assert_eq!(thermal.hottest(), Some(("soc_thermal", 80.0)));
        zone(dir.path(), 4, "soc_thermal", "hot");
        assert_eq!(thermal.zones()[1].celsius, None);
        assert_eq!(thermal.hottest(), Some(("cpu-1-0", 61.5)));
    }

    #[test]
    fn a_machine_without_zones_has_none() {
        let thermal = Thermal::find(Path::new("/nowhere/thermal"));
        assert!(thermal.is_empty() && thermal.hottest().is_none() && thermal.zones().is_empty());
    }
}
