//! What this machine is: device, chip, system. Nothing that distinguishes one owner's machine from another of its kind: no serial
//! numbers, no names that people give, no addresses.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::read_text;

/// Names of device, chip and system; `None` for what is not reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Maker and model of the device or board.
    pub device: Option<String>,
    /// Maker and model of the chip, or its platform's code name.
    pub soc: Option<String>,
    /// The processor's name.
    pub cpu: Option<String>,
    /// Android's release and API level, or the name of the Linux distribution.
    pub system: Option<String>,
    /// The kernel's release.
    pub kernel: Option<String>,
}

/// Android's tool that prints its properties.
const GETPROP: &str = "/system/bin/getprop";

impl Identity {
    /// Of this machine.
    pub fn this() -> Self {
        let getprop = |name: &str| {
            let output = Command::new(GETPROP).arg(name).output().ok()?;
            let value = String::from_utf8(output.stdout).ok()?.trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        // Asking a tool that is not there for each property would take its time.
        let property = |name: &str| if Path::new(GETPROP).exists() { getprop(name) } else { None };
        Self::read(Path::new("/"), &property)
    }

    /// What the files under `root` (`/`) and Android's properties say.
    pub fn read(root: &Path, property: &dyn Fn(&str) -> Option<String>) -> Self {
        let file = |path: &str| read_text(&root.join(path));
        let both = |a: Option<String>, b: Option<String>| match (a, b) {
            (Some(a), Some(b)) if b.to_lowercase().starts_with(&a.to_lowercase()) => Some(b),
            (Some(a), Some(b)) => Some(format!("{a} {b}")),
            (a, b) => a.or(b),
        };
        let cpuinfo = fs::read_to_string(root.join("proc/cpuinfo")).unwrap_or_default();
        // A device tree lists what the chip is compatible with, the board first and the chip last.
        let compatible = file("proc/device-tree/compatible");
        let chip = compatible.and_then(|c| c.split('\0').rfind(|part| !part.is_empty()).map(str::to_owned));
        let android = property("ro.build.version.release").map(|release| {
            let api = property("ro.build.version.sdk").map(|sdk| format!(" (API {sdk})")).unwrap_or_default();
            format!("Android {release}{api}")
        });
        Self {
            device: both(property("ro.product.manufacturer"), property("ro.product.model"))
                .or_else(|| file("proc/device-tree/model"))
                .or_else(|| both(file("sys/class/dmi/id/sys_vendor"), file("sys/class/dmi/id/product_name"))),
            soc: both(property("ro.soc.manufacturer"), property("ro.soc.model"))
                .or_else(|| property("ro.board.platform"))
                .or_else(|| line(&cpuinfo, "Hardware"))
                .or(chip),
            cpu: line(&cpuinfo, "model name"),
            system: android.or_else(|| {
                let release = fs::read_to_string(root.join("etc/os-release")).ok()?;
                let name = release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="))?;
                Some(name.trim_matches('"').to_owned())
            }),
            kernel: file("proc/sys/kernel/osrelease"),
        }
    }
}

/// The value of the first line `key : value`.
fn line(cpuinfo: &str, key: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with(key))?;
    let value = line.split_once(':')?.1.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// The name of an arm64 core by its identification register (`midr`): maker in the highest byte, part in bits 4 to 15.
/// From Arm's and the makers' manuals, as the kernel's `cputype.h` collects them. `None` for others.
pub fn core_name(midr: u32) -> Option<&'static str> {
    let part = midr >> 4 & 0xfff;
    Some(match (midr >> 24, part) {
        (0x41, 0xd03) => "Cortex-A53",
        (0x41, 0xd04) => "Cortex-A35",
        (0x41, 0xd05) => "Cortex-A55",
        (0x41, 0xd07) => "Cortex-A57",
        (0x41, 0xd08) => "Cortex-A72",
        (0x41, 0xd09) => "Cortex-A73",
        (0x41, 0xd0a) => "Cortex-A75",
        (0x41, 0xd0b) => "Cortex-A76",
        (0x41, 0xd0c) => "Neoverse-N1",
        (0x41, 0xd0d) => "Cortex-A77",
        (0x41, 0xd40) => "Neoverse-V1",
        (0x41, 0xd41) => "Cortex-A78",
        (0x41, 0xd44) => "Cortex-X1",
        (0x41, 0xd46) => "Cortex-A510",
        (0x41, 0xd47) => "Cortex-A710",
        (0x41, 0xd48) => "Cortex-X2",
        (0x41, 0xd49) => "Neoverse-N2",
        (0x41, 0xd4b) => "Cortex-A78C",
        (0x41, 0xd4c) => "Cortex-X1C",
        (0x41, 0xd4d) => "Cortex-A715",
        (0x41, 0xd4e) => "Cortex-X3",
        (0x41, 0xd4f) => "Neoverse-V2",
        (0x41, 0xd80) => "Cortex-A520",
        (0x41, 0xd81) => "Cortex-A720",
        (0x41, 0xd82) => "Cortex-X4",
        (0x41, 0xd85) => "Cortex-X925",
        (0x41, 0xd87) => "Cortex-A725",
        (0x51, 0x800) => "Kryo 2xx Gold",
        (0x51, 0x801) => "Kryo 2xx Silver",
        (0x51, 0x802) => "Kryo 3xx Gold",
        (0x51, 0x803) => "Kryo 3xx Silver",
        (0x51, 0x804) => "Kryo 4xx Gold",
        (0x51, 0x805) => "Kryo 4xx Silver",
        (0x51, 0x001) => "Oryon",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_phone_is_told_by_its_properties_and_by_no_others() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "proc/sys/kernel/osrelease", "5.15.104-android13\n");
        let property = |name: &str| {
            assert!(!name.contains("serial"), "{name} says whose phone it is");
            let value = match name {
                "ro.product.manufacturer" => "Google",
                "ro.product.model" => "Pixel 8",
                "ro.soc.manufacturer" => "Google",
                "ro.soc.model" => "Tensor G3",
                "ro.build.version.release" => "15",
                "ro.build.version.sdk" => "35",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let phone = Identity::read(dir.path(), &property);
        let some = |s: &str| Some(s.to_owned());
        let expected = Identity {
            device: some("Google Pixel 8"),
            soc: some("Google Tensor G3"),
            cpu: None,
            system: some("Android 15 (API 35)"),
            kernel: some("5.15.104-android13"),
        };
        assert_eq!(phone, expected);
    }

    #[test]
    fn boards_and_pcs_are_told_by_files() {
        let dir = tempfile::tempdir().unwrap();
        let read = || Identity::read(dir.path(), &|_| None);
        assert_eq!(read(), Identity::default());
        put(dir.path(), "sys/class/dmi/id/sys_vendor", "LENOVO\n");
        put(dir.path(), "sys/class/dmi/id/product_name", "20XW\n");
        put(dir.path(), "proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU\n");
        put(dir.path(), "etc/os-release", "NAME=x\nPRETTY_NAME=\"Debian 12\"\n");
        let pc = read();
        assert_eq!(pc.device.as_deref(), Some("LENOVO 20XW"));
        assert_eq!((pc.cpu.as_deref(), pc.system.as_deref()), (Some("Some CPU"), Some("Debian 12")));
        put(dir.path(), "proc/device-tree/model", "Raspberry Pi 5\0");
        put(dir.path(), "proc/device-tree/compatible", "raspberrypi,5-model-b\0brcm,bcm2712\0");
        let board = read();
        assert_eq!(board.device.as_deref(), Some("Raspberry Pi 5"));
        assert_eq!(board.soc.as_deref(), Some("brcm,bcm2712"));
    }

    #[test]
    fn cores_are_named() {
        assert_eq!(core_name(0x4100_d050), Some("Cortex-A55"));
        assert_eq!(core_name(0x5100_8020), Some("Kryo 3xx Gold"));
        assert_eq!(core_name(0x4800_d050), None);
    }
}
