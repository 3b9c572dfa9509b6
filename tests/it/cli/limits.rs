//! Cores, memory and heat: what the program does at the machine's limits.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::program::{generate, is_emulated, raw, refuses, tiny};

/// The run's output, which must be a success.
#[track_caller]
fn run(args: &[&str], variables: &[(&str, &Path)]) -> (String, String) {
    texts(raw().args(args).envs(variables.iter().copied()).output().expect("the program starts"))
}

#[track_caller]
fn texts(output: Output) -> (String, String) {
    let [out, err] = [output.stdout, output.stderr].map(|b| String::from_utf8(b).expect("UTF-8"));
    assert!(output.status.success(), "{err}");
    (out, err)
}

const STORY: [&str; 6] = ["-p", "Once upon a time", "-n", "12", "--seed", "3"];

#[test]
fn more_threads_than_cores_are_a_warning_and_the_same_text() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let (plain, said) = run(&STORY, &[]);
    assert!(!said.contains("warning"), "{said}");
    let more = (cores + 1).to_string();
    let (text, said) = run(&[&STORY[..], &["--threads", &more]].concat(), &[]);
    assert_eq!(text, plain);
    let warning = format!("warning: --threads {more} is more than the {cores} core");
    assert!(said.contains(&warning) && said.contains(&format!(", {cores} thread")), "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_on_one_core_computes_with_one_thread() {
    use std::os::unix::process::CommandExt;
    let (plain, _) = run(&STORY, &[]);
    let mut command = raw();
    command.args(STORY).args(["--threads", "2"]);
    // SAFETY: between fork and exec only system calls are made, on memory of the child's own stack; a set of CPUs is
    // plain bits, all of which may be zero.
    unsafe {
        command.pre_exec(|| {
            let size = size_of::<libc::cpu_set_t>();
            let (mut all, mut one): (libc::cpu_set_t, libc::cpu_set_t) = std::mem::zeroed();
            if libc::sched_getaffinity(0, size, &raw mut all) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            let first = (0..libc::CPU_SETSIZE as usize).find(|&cpu| libc::CPU_ISSET(cpu, &all));
            libc::CPU_SET(first.unwrap_or(0), &mut one);
            match libc::sched_setaffinity(0, size, &raw const one) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    let (text, said) = texts(command.output().expect("the program starts"));
    assert_eq!(text, plain);
    let warning = "warning: --threads 2 is more than the 1 core that this process may use";
    assert!(said.contains(warning) && said.contains(", 1 thread\n"), "{said}");
}

#[test]
fn a_context_that_memory_has_no_room_for_is_refused_before_anything_is_loaded() {
    let huge = ["-p", "t1", "-m", tiny().to_str().unwrap(), "--max-seq-len", "900000000000"];
    let parts = [
        "this needs",
        "for 900000000000 tokens as f16",
        "is available",
        "--max-seq-len",
        "--no-memory-check",
    ];
    refuses(&huge, 1, &parts);
    // What is really taken depends on the text, which may be short.
    let (_, said) = run(&[&huge[..], &["--no-memory-check", "-n", "3"]].concat(), &[]);
    assert!(!said.contains("this needs"), "three tokens have room: {said}");
    let endless = ["--no-memory-check", "--temperature", "0", "--stop", "t"];
    let (_, said) = run(&[&huge[..], &endless].concat(), &[]);
    assert!(said.contains("warning: this needs"), "{said}");
}

#[test]
fn the_estimate_is_near_what_was_resident() {
    if is_emulated() {
        crate::skip::inapplicable(
            "the_estimate_is_near_what_was_resident",
            "the emulator's memory counts too",
        );
        return;
    }
    for more in [
        &["-n", "100"][..],
        &["-n", "400", "--ignore-eos", "--kv-type", "f32", "--weight-dtype", "f32"],
        &[
            "-m",
            tiny().to_str().unwrap(),
            "--max-seq-len",
            "600",
            "--ignore-eos",
            "-n",
            "500",
            "--temperature",
            "0",
        ],
    ] {
        // One thread: what stacks take is not foreseen.
        let (out, _) = run(&[&["-p", "t1 t2", "--json", "-t", "1"], more].concat(), &[]);
        let memory = serde_json::from_str::<Value>(&out).expect("JSON")["memory"].clone();
        let of = |key: &str| memory[key].as_u64().unwrap_or_else(|| panic!("{key} in {memory}"));
        let (peak, estimate) = (of("peak_resident_bytes"), of("estimated_bytes"));
        assert!(of("estimated_own_bytes") <= estimate);
        // The program's own pages are counted as they are in a release; a debug build has more.
        assert!(estimate < peak + peak / 4, "{more:?}: {estimate} foreseen, {peak} taken");
        assert!(peak < 2 * estimate, "{more:?}: {estimate} foreseen, {peak} taken");
    }
}

#[test]
fn weights_are_locked_where_they_are_mapped() {
    let lock = |more: &[&str]| {
        let args = [&STORY[..], &["--lock-weights"], more].concat();
        let output = generate().args(args).output().expect("the program starts");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let (code, said) = lock(&[]);
    // Some systems let a process lock nothing at all; then the limit is named.
    let locked = code == Some(0) && said.contains("3 MB of weights are locked in memory");
    let refused = code == Some(1) && said.contains("error: the weights: 3 MB cannot be locked in memory");
    assert!(locked || refused, "{code:?} {said}");
    let (code, said) = lock(&["--weight-dtype", "q8_0"]);
    assert!(code == Some(0) && said.contains("warning: --lock-weights does nothing here"), "{said}");
    let (code, said) = lock(&["-b", "reference"]);
    assert!(code == Some(0) && said.contains("warning: --lock-weights does nothing here"), "{said}");
}

/// A thermal zone of `millidegrees` in a tree of its own.
fn zone(millidegrees: i64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let zone = dir.path().join("thermal_zone0");
    fs::create_dir(&zone).expect("writable");
    fs::write(zone.join("type"), "cpu-0-0\n").expect("writable");
    fs::write(zone.join("temp"), format!("{millidegrees}\n")).expect("writable");
    dir
}

#[test]
fn a_hot_machine_rests_after_every_pass_and_says_so_and_a_cool_one_does_not() {
    let (plain, said) = run(&STORY, &[]);
    assert!(!said.contains("throttled"), "nothing is done unasked: {said}");
    let throttled = [&STORY[..], &["--throttle-to", "70"]].concat();
    let hot = zone(75_000);
    let (text, said) = run(&throttled, &[("LLM_RS2_THERMAL", hot.path())]);
    assert_eq!(text, plain);
    let warning = "warning: cpu-0-0 is at 75.0 degrees, above --throttle-to 70: resting between tokens, 50 % of the time";
    assert_eq!(said.matches(warning).count(), 1, "{said}");
    // A prompt of one chunk, and eleven passes for twelve tokens.
    assert!(said.contains("throttled 12 times") && said.contains("hottest 75.0 degrees"), "{said}");
    let (out, _) =
        run(&[&throttled[..], &["--json", "--quiet"]].concat(), &[("LLM_RS2_THERMAL", hot.path())]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["throttle"]["pauses"], 12);
    let cool = zone(69_000);
    let (text, said) = run(&throttled, &[("LLM_RS2_THERMAL", cool.path())]);
    assert_eq!(text, plain);
    assert!(!said.contains("throttled") && !said.contains("warning"), "{said}");
}

#[test]
fn heat_that_cannot_be_measured_is_an_error() {
    let empty = tempfile::tempdir().unwrap();
    let output =
        raw().args(STORY).args(["--throttle-to", "70"]).env("LLM_RS2_THERMAL", empty.path()).output();
    let output = output.expect("the program starts");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: --throttle-to needs a temperature"), "{said}");
    refuses(&["-p", "x", "--throttle-to", "7000"], 1, &["--throttle-to 7000", "from 20 to 110"]);
}
