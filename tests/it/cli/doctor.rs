//! `generate --doctor`: the page, the object and its description.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::program::{raw, refuses};

fn doctor(more: &[&str]) -> String {
    let thermal = tempfile::tempdir().expect("a temporary directory");
    let zone = thermal.path().join("thermal_zone0");
    fs::create_dir(&zone).expect("writable");
    fs::write(zone.join("type"), "cpu-1-2\n").expect("writable");
    fs::write(zone.join("temp"), "41500\n").expect("writable");
    let output = raw()
        .args(["--doctor", "--quiet", "--pack-cache", env!("CARGO_TARGET_TMPDIR")])
        .args(more)
        .env("LLM_RS2_THERMAL", thermal.path())
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Every key, with those that it lies within before it: `opencl.devices[].name`.
fn keys(value: &Value, before: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if before.is_empty() { name.clone() } else { format!("{before}.{name}") };
                keys(value, &path, found);
                found.insert(path);
            }
        }
        Value::Array(values) => values.iter().for_each(|v| keys(v, &format!("{before}[]"), found)),
        _ => {}
    }
}

/// The keys in the table of docs/DOCTOR.md.
fn documented() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/DOCTOR.md");
    let text = fs::read_to_string(path).expect("the description is there");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(key, _)| key.to_owned()).collect()
}

#[test]
fn the_object_is_what_its_description_says() {
    let text = doctor(&["--json"]);
    let facts: Value = serde_json::from_str(&text).expect("one JSON object");
    assert_eq!(facts["schema"], "llm_rs2.doctor/1");
    let mut found = BTreeSet::new();
    keys(&facts, "", &mut found);
    let documented = documented();
    assert!(documented.len() > 40, "{documented:?}");
    let strange: Vec<_> = found.difference(&documented).collect();
    assert!(strange.is_empty(), "not described: {strange:?}");
    // What is in a list or may be null is not there on every machine.
    let whole = |key: &&String| {
        !key.contains("[]") && !key.starts_with("calibration.opencl.") && !found.contains(*key)
    };
    let missing: Vec<_> = documented.iter().filter(whole).collect();
    assert!(missing.is_empty(), "described, and not there: {missing:?}");

    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(facts["cores"]["most_threads"], cores);
    assert_eq!(facts["thermal_zones"], serde_json::json!([{ "name": "cpu-1-2", "celsius": 41.5 }]));
    let tested = facts["cpu_self_test"].as_array().expect("a list");
    assert!(tested.len() >= 2 && tested.iter().all(|t| t["failed"] == serde_json::json!([])), "{tested:?}");
    assert!(tested.iter().all(|t| t["cases"].as_u64() > Some(20)), "{tested:?}");
    let speed = &facts["calibration"]["cpu"];
    assert!(speed["decode_tokens_per_s"].as_f64() > Some(0.0), "{speed}");
    let advice = &facts["advice"];
    let flags = advice["flags"].as_str().expect("a text");
    assert!(flags.contains(&format!("-b {}", advice["backend"].as_str().unwrap())), "{flags}");

    // Nothing that tells whose machine this is.
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    assert!(
        host.trim().is_empty() || !text.contains(&format!("\"{}\"", host.trim())),
        "the host's name is in it"
    );
    assert!(!text.to_lowercase().contains("serial"), "{text}");
}

#[test]
fn the_page_has_every_section_and_says_where_opencl_was_sought() {
    // No library there: the page tells so, and goes on with the CPU.
    let mut command = raw();
    command.args(["--doctor", "--quiet"]).env("OPENCL_DYLIB_PATH", "/nowhere/libOpenCL.so");
    command.env("LLM_RS2_THERMAL", "/nowhere");
    let output = command.output().expect("the program starts");
    let page = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{page}");
    let headings: Vec<&str> = page.lines().filter(|l| !l.starts_with(' ') && !l.is_empty()).collect();
    assert!(headings[0].starts_with(concat!("llm_rs2 ", env!("CARGO_PKG_VERSION"))), "{page}");
    assert_eq!(headings[1..5], ["memory", "cores", "OpenCL", "thermal zones"]);
    assert!(headings[5].starts_with("speed, shape of llama3.2-1b, "), "{page}");
    assert_eq!(headings[6..], ["what to choose for such a model"]);
    // A static program looks for no library.
    let why =
        if cfg!(target_feature = "crt-static") { "is linked statically" } else { "/nowhere/libOpenCL.so" };
    for part in [why, "test scalar", "like the reference", "flags", "-b cpu -t ", "none"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
}

#[test]
fn the_doctor_takes_no_patient_with_him() {
    for flags in [["-p", "x"], ["-m", "somewhere"]] {
        refuses(&[&["--doctor"][..], &flags].concat(), 1, &["--doctor looks at the machine"]);
    }
}
