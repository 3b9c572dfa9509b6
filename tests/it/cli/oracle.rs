//! `test_backend`: what is right passes, what is wrong is found, and the exit code tells.

use assert_cmd::Command;
use llm_rs2::backend::opencl::Device;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_test_backend");

/// Exit code, standard output and standard error of a run on the cpu.
fn run(args: &[&str]) -> (i32, String, String) {
    run_with(&[&["--backend", "cpu"], args].concat(), &[])
}

fn run_with(args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(PROGRAM);
    let output = command.args(args).envs(variables.iter().copied()).output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

const SMALL: [&str; 2] = ["--filter", "glu silu 33 x7,attention f16 6/2x17,linear q4_0 100->35"];

#[test]
fn all_instruction_sets_pass_in_a_table_and_in_json() {
    let (code, stdout, stderr) = run(&SMALL);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert_eq!(stderr, "");
    assert!(stdout.starts_with("cpu scalar: "), "{stdout}");
    assert!(stdout.trim_end().ends_with(" passed, 0 failed"), "{stdout}");
    let rows: Vec<&str> = stdout.lines().filter(|l| l.starts_with("| ")).skip(2).collect();
    assert!(rows.iter().all(|r| r.contains("| ok")), "{stdout}");
    let (code, stdout, _) = run(&[&SMALL[..], &["--json", "-t", "1"]].concat());
    assert_eq!(code, 0);
    let all: Value = serde_json::from_str(&stdout).expect("JSON");
    let subjects = all["subjects"].as_array().unwrap();
    // Three kinds of operation, each for every instruction set.
    assert_eq!(rows.len(), 3 * subjects.len());
    assert!(subjects.iter().all(|s| s["device"].as_str().unwrap().ends_with(", 1 thread")), "{stdout}");
    let results = all["results"].as_array().unwrap();
    // Five kinds of numbers for the linear layer and glu, and for sixteen forms of attention.
    assert_eq!(results.len(), (5 + 5 + 16 * 5) * subjects.len());
    assert_eq!((&all["passed"], &all["failed"]), (&Value::from(results.len()), &Value::from(0)));
    for result in results {
        assert_eq!(result["passed"], true, "{result}");
        assert!(result["max_error"].as_f64().unwrap() <= result["max_error_bound"].as_f64().unwrap());
    }
}

#[test]
fn every_operator_that_is_made_wrong_fails_the_run() {
    for operator in [
        "alloc",
        "transfer",
        "copy_rows",
        "prepare",
        "embed",
        "rms_norm",
        "rms_norm_in_place",
        "linear",
        "rope",
        "kv_append",
        "kv_copy",
        "kv_move",
        "attention",
        "glu",
        "scale",
        "softcap",
        "add",
    ] {
        let filter = match operator {
            "alloc" => "alloc 33",
            "kv_append" | "kv_copy" | "kv_move" | "attention" => &format!("{operator} f16 8/2x32"),
            "prepare" => "prepare q4_0 from f32",
            "embed" => "embed bf16 37x96",
            "linear" => "linear q8_0 100->35",
            "copy_rows" => "copy_rows 1..4",
            "rope" => "rope 3x6",
            "rms_norm_in_place" => "rms_norm_in_place 3x17 x7",
            "glu" => "glu silu 33 x7",
            _ => &format!("{operator} 33 x7"),
        };
        let args = ["--isa", "scalar", "-t", "1", "--filter", filter];
        let (code, stdout, stderr) = run(&args);
        assert_eq!(code, 0, "{operator}: {stdout}{stderr}");
        let (code, stdout, stderr) = run(&[&args[..], &["--perturb", operator]].concat());
        assert_eq!(code, 1, "{operator}: {stdout}{stderr}");
        assert!(stdout.contains(&format!("\nFAIL {operator} ")) && stdout.contains("| FAIL"), "{stdout}");
        assert!(!stdout.contains(" 0 failed"), "{stdout}");
    }
}

#[test]
fn a_fault_is_told_with_its_element_and_in_json() {
    let args = ["--isa", "scalar", "--filter", "rms_norm 33 x7 random", "--perturb", "rms_norm"];
    let (code, stdout, _) = run(&args);
    assert_eq!(code, 1);
    assert!(stdout.contains("FAIL rms_norm 33 x7 random on cpu scalar: element 230 is "), "{stdout}");
    let (code, stdout, _) = run(&[&args[..], &["--json"]].concat());
    let all: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((code, &all["failed"]), (1, &Value::from(1)));
    assert_eq!(all["results"][0]["worst"]["index"], 230);
    // Another operator than the one that is wrong.
    let (code, ..) = run(&["--isa", "scalar", "--filter", "glu silu 33 x7", "--perturb", "rms_norm"]);
    assert_eq!(code, 0);
}

#[test]
fn verbose_has_a_row_for_each_case() {
    let (code, stdout, _) = run(&["--isa", "scalar", "--verbose", "--filter", "add 33 x7"]);
    assert_eq!(code, 0);
    for values in ["random", "large", "tiny", "negative-zero", "denormal"] {
        assert!(stdout.contains(&format!("33 x7 {values}")), "{stdout}");
    }
    assert!(stdout.ends_with("\n5 passed, 0 failed\n"), "{stdout}");
}

#[test]
fn what_cannot_be_tested_is_a_sentence() {
    let refuses = |args: &[&str], code, parts: &[&str]| {
        let (got, stdout, stderr) = run(args);
        assert_eq!((got, stdout.as_str()), (code, ""), "{args:?}: {stderr}");
        let line = stderr.lines().find(|l| l.starts_with("error: ")).unwrap_or_default();
        for part in parts {
            assert!(line.contains(part), "{args:?}: '{part}' is not in: {stderr}");
        }
    };
    refuses(&["--device", "0"], 1, &["--device", "opencl"]);
    refuses(&["--isa", "mmx"], 2, &["no such instruction set"]);
    refuses(&["--filter", "matmul"], 1, &["matmul", "kv_copy"]);
    refuses(&["--perturb", "matmul"], 2, &["unknown operator 'matmul'"]);
    refuses(&["-t", "0"], 2, &["0 threads"]);
}

#[test]
fn a_backend_that_is_not_there_has_an_exit_code_of_its_own() {
    let nothing = [("OPENCL_DYLIB_PATH", "/nothing/libOpenCL.so")];
    let (code, stdout, stderr) = run_with(&["--backend", "cpu,opencl"], &nothing);
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    assert!(stderr.starts_with("error: the opencl backend is not there: "), "{stderr}");
    assert!(stderr.contains("/nothing/libOpenCL.so") && stderr.contains("--backend cpu"), "{stderr}");
    // Where nothing is asked for, what is there is tested.
    let (code, stdout, stderr) = run_with(&["--filter", "add 33 x7 random"], &nothing);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("| cpu") && !stdout.contains("| opencl"), "{stdout}");
    let (code, ..) = run_with(&["--backend", "cuda"], &[]);
    assert_eq!(code, 2);
}

#[test]
fn a_device_passes_until_a_kernel_of_it_is_broken() {
    if let Err(e) = Device::list() {
        crate::skip::skipped("test_backend on a device", &e.to_string());
        return;
    }
    let filter =
        "rms_norm 33 x7 random,rope 3x6,linear q4_0 2048->130 x1 random,linear q4_0 256->33 x27 random";
    let args = ["--backend", "opencl", "--filter", filter];
    let (code, stdout, stderr) = run_with(&args, &[]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    for variant in ["plain", "fast"] {
        assert!(stdout.lines().any(|l| l.contains("| opencl") && l.contains(variant)), "{stdout}");
    }
    for (kernel, operator) in [
        ("rms_norm", "rms_norm"),
        ("rope", "rope"),
        ("linear_row", "linear q4_0 2048->130"),
        ("linear_tile", "linear q4_0 256->33"),
        ("linear_plain", "linear q4_0 256->33"),
    ] {
        let (code, stdout, stderr) = run_with(&args, &[("LLM_RS2_OPENCL_PERTURB", kernel)]);
        assert_eq!(code, 1, "{kernel}: {stdout}{stderr}");
        assert!(stdout.contains(&format!("\nFAIL {operator} ")), "{kernel}: {stdout}");
    }
}
