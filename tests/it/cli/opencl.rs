//! `-b opencl` and `-b auto`. Where no OpenCL device is here, what needs one is skipped, and says so.

use std::path::Path;

use llm_rs2::backend::opencl::Device;

use super::models::Copy;
use super::program::{generate, raw, refuses};

/// The cache directory, so that the tests compile the programs once.
const CACHE: &str = env!("CARGO_TARGET_TMPDIR");

fn no_device(test: &str) -> bool {
    let none = Device::list().is_err();
    if none {
        crate::skip::skipped(test, "there is no OpenCL device");
    }
    none
}

/// Standard output and standard error of a run that must succeed.
#[track_caller]
fn run(args: &[&str], variables: &[(&str, &str)]) -> (String, String) {
    let mut command = raw();
    command.args(args).env("XDG_CACHE_HOME", CACHE).envs(variables.iter().copied());
    let output = command.output().expect("the program starts");
    let [out, err] = [output.stdout, output.stderr].map(|b| String::from_utf8(b).expect("UTF-8"));
    assert!(output.status.success(), "{args:?}: {err}");
    (out, err)
}

/// Entries that are kept for a device in a cache directory.
fn entries(cache: &Path) -> usize {
    cache.join("llm_rs2/opencl").read_dir().map_or(0, Iterator::count)
}

const STORY: [&str; 6] = ["-p", "Once upon a time", "-n", "40", "--temperature", "0"];

#[test]
fn a_device_tells_the_same_story_as_the_reference() {
    if no_device("a_device_tells_the_same_story_as_the_reference") {
        return;
    }
    let of = |more: &[&str]| run(&[&STORY, more].concat(), &[]);
    let (expected, _) = of(&["-b", "reference"]);
    let (text, said) = of(&["-b", "opencl"]);
    assert_eq!(text, expected);
    assert!(said.contains("opencl: "), "{said}");
    assert!(entries(Path::new(CACHE)) > 0);
    for more in [&["--prefill-chunk", "2"][..], &["--lookup", "4"], &["--profile"]] {
        let (text, said) = of(&[&["-b", "opencl"], more].concat());
        assert_eq!(text, expected, "{more:?}");
        let profiled = said.contains("kernel ") && said.contains("a token: ") && said.contains("linear_");
        assert_eq!(profiled, more[0] == "--profile", "{said}");
    }
}

#[test]
fn a_text_goes_over_to_the_device_and_stays_the_same() {
    refuses(&["--switch-threshold", "9", "-p", "x"], 1, &["--switch-threshold is for --backend hybrid"]);
    if no_device("a_text_goes_over_to_the_device_and_stays_the_same") {
        return;
    }
    let (expected, _) = run(&STORY, &[]);
    let hybrid = [&STORY[..], &["-b", "hybrid"]].concat();
    let (text, said) = run(&[&hybrid[..], &["--switch-threshold", "20", "-t", "1"]].concat(), &[]);
    assert_eq!(text, expected);
    for part in ["hybrid: texts of 20 tokens or more are on ", " | opencl: ", "moved 20 tokens in 1 move |"] {
        assert!(said.contains(part), "{said}");
    }
    let (text, said) = run(&hybrid, &[]);
    assert_eq!(text, expected);
    assert!(said.contains("hybrid: prompts ") && said.contains(" on the cpu), "), "{said}");
}

#[test]
fn devices_are_listed_and_chosen() {
    if no_device("devices_are_listed_and_chosen") {
        return;
    }
    let (list, _) = run(&["--list-devices"], &[]);
    assert!(list.starts_with("0: ") && list.contains("compute units"), "{list}");
    refuses(
        &["-b", "opencl", "--device", "no such", "-p", "x"],
        1,
        &["no OpenCL device is 'no such'", "0 ("],
    );
    refuses(&["-b", "opencl", "-t", "1", "-p", "x"], 1, &["--threads", "cpu backend"]);
}

#[test]
fn auto_chooses_one_and_says_why() {
    let auto = [&STORY[..], &["-b", "auto"]].concat();
    let (_, said) = run(&auto, &[("OPENCL_DYLIB_PATH", "/nowhere/libOpenCL.so")]);
    assert!(said.contains("auto: cpu, since there is no OpenCL library here"), "{said}");
    if no_device("auto_chooses_one_and_says_why") {
        return;
    }
    let (_, said) = run(&[&auto[..], &["--device", "0"]].concat(), &[]);
    assert!(said.contains("auto: ") && said.contains("times as fast as"), "{said}");
}

#[test]
fn a_machine_without_a_library_gets_one_sentence() {
    for args in [&["-b", "opencl", "-p", "x", "-q"][..], &["--list-devices"]] {
        let output = raw().args(args).env("OPENCL_DYLIB_PATH", "/nowhere/libOpenCL.so").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), output.stdout.len(), said.lines().count()),
            (Some(1), 0, 1),
            "{said}"
        );
        for part in ["error: ", "there is no OpenCL library here", "/nowhere/libOpenCL.so", "--backend cpu"] {
            assert!(said.contains(part), "{said}");
        }
    }
}

#[test]
fn a_loader_without_drivers_gets_one_sentence() {
    let none = tempfile::tempdir().expect("a temporary directory");
    let output =
        raw().args(["-b", "opencl", "-p", "x", "-q"]).env("OCL_ICD_VENDORS", none.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        crate::skip::inapplicable(
            "a_loader_without_drivers",
            "the OpenCL library here does not look for drivers",
        );
        return;
    }
    assert_eq!((output.status.code(), output.stdout.len(), said.lines().count()), (Some(1), 0, 1), "{said}");
    assert!(said.contains("knows no device") || said.contains("there is no OpenCL library here"), "{said}");
    assert!(said.contains("--backend cpu"), "{said}");
}

#[test]
fn a_device_that_computes_wrongly_is_refused() {
    if no_device("a_device_that_computes_wrongly_is_refused") {
        return;
    }
    let output = generate()
        .args(["-b", "opencl", "-p", "x"])
        .env("XDG_CACHE_HOME", CACHE)
        .env("LLM_RS2_OPENCL_PERTURB", "rope")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
    assert!(said.contains("computes rope wrongly") && said.contains("--backend cpu"), "{said}");
}

#[test]
fn what_was_told_before_a_device_is_lost_stays() {
    if no_device("what_was_told_before_a_device_is_lost_stays") {
        return;
    }
    let args = [&STORY[..], &["-b", "opencl"]].concat();
    let (whole, _) = run(&args, &[]);
    // The self-test is known by now; the model's prompt and some tokens take some hundred kernels.
    let lost = |more: &[&str]| {
        let mut command = raw();
        command.args(&args).args(more).env("XDG_CACHE_HOME", CACHE).env("LLM_RS2_OPENCL_LOSE_AFTER", "600");
        let output = command.output().expect("the program starts");
        let [out, err] = [output.stdout, output.stderr].map(|b| String::from_utf8(b).expect("UTF-8"));
        assert_eq!(output.status.code(), Some(1), "{err}");
        let last = err.lines().last().unwrap_or_default();
        for part in ["error: ", "CL_OUT_OF_RESOURCES", "the device gave up or was lost", "--backend cpu"] {
            assert!(last.contains(part), "{err}");
        }
        out
    };
    let text = lost(&[]);
    assert!(text.trim_end().len() > 10 && text.len() < whole.len(), "{text}");
    assert!(whole.starts_with(text.trim_end()), "{text}");
    let object: serde_json::Value = serde_json::from_str(&lost(&["--json"])).expect("a JSON object");
    assert_eq!(
        (object["text"].as_str(), &object["finish"]),
        (Some(text.trim_end_matches('\n')), &"error".into())
    );
    assert!(object["error"].as_str().is_some_and(|e| e.contains("CL_OUT_OF_RESOURCES")), "{object}");
}

#[test]
fn both_benchmarks_measure_a_device() {
    if no_device("both_benchmarks_measure_a_device") {
        return;
    }
    let measure = |program: &str, args: &[&str]| {
        let mut command = std::process::Command::new(program);
        let output = command.args(args).env("XDG_CACHE_HOME", CACHE).output().expect("the program starts");
        let [out, err] = [output.stdout, output.stderr].map(|b| String::from_utf8(b).expect("UTF-8"));
        assert!(output.status.success(), "{args:?}: {err}");
        out
    };
    let out = measure(
        env!("CARGO_BIN_EXE_bench_model"),
        &["--shape", "demo", "-b", "opencl", "-p", "8", "-n", "2", "-r", "1", "-o", "json", "-q"],
    );
    let rows: Vec<serde_json::Value> = serde_json::from_str(&out).expect("a JSON array");
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|r| r["backends"] == "opencl"), "{out}");
    let out = measure(
        env!("CARGO_BIN_EXE_micro_bench"),
        &["--shape", "demo", "-b", "opencl", "--filter", "add x1", "--time", "0", "--rows", "1", "--json"],
    );
    let result: serde_json::Value = serde_json::from_str(&out).expect("a JSON object");
    assert!(result.to_string().contains("opencl: "), "{out}");
}

#[test]
fn a_policy_that_the_device_cannot_follow_is_a_sentence() {
    if no_device("a_policy_that_the_device_cannot_follow_is_a_sentence") {
        return;
    }
    let h2o = ["-b", "opencl", "--eviction-policy", "h2o", "-p", "Once"];
    let parts = [
        "eviction by h2o cannot be used here",
        "the opencl backend cannot report",
        "sliding",
        "--backend cpu",
    ];
    refuses(&h2o, 1, &parts);
}

/// Compiled programs are code, and the verdict spares them their test: neither may come with a model, or lie in a directory
/// that was named for its weights.
#[cfg(unix)]
#[test]
fn what_comes_with_a_model_is_not_run() {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    if no_device("what_comes_with_a_model_is_not_run") {
        return;
    }
    let (model, named) = (Copy::new(), tempfile::tempdir().expect("a temporary directory"));
    let plain = |path: &Path| path.to_str().expect("a plain path").to_owned();
    let (path, directory) = (plain(model.path()), plain(named.path()));
    let args = ["-m", &path, "--pack-cache", &directory, "-b", "opencl", "-p", "t5", "-n", "2"];
    run(&args, &[]);
    // The same files, where a downloaded model would have them.
    for place in [model.file(".llm_rs2/opencl"), named.path().join("opencl")] {
        fs::create_dir_all(&place).expect("writable");
        for entry in fs::read_dir(Path::new(CACHE).join("llm_rs2/opencl")).expect("readable") {
            let entry = entry.expect("readable");
            fs::copy(entry.path(), place.join(entry.file_name())).expect("writable");
        }
    }
    let fresh = tempfile::tempdir().expect("a temporary directory");
    run(&args, &[("XDG_CACHE_HOME", &plain(fresh.path()))]);
    assert!(entries(fresh.path()) > 1, "all is compiled and tested here, and kept");
    let kept = fresh.path().join("llm_rs2/opencl");
    assert_eq!(fs::metadata(kept).expect("it is there").permissions().mode() & 0o777, 0o700);
    assert_eq!(entries(named.path()), 0);
}
