//! Running the program.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use assert_cmd::Command as Assert;

/// The tiny checkpoint of the fixtures; its words are t0, t1, ...
pub fn tiny() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-llama32"))
}

/// Longer than any test takes on a slow machine: a program that hangs fails its test, by name.
const PATIENCE: Duration = Duration::from_secs(900);

/// The program.
pub fn generate() -> Assert {
    let mut command = Assert::from_std(raw());
    command.timeout(PATIENCE);
    command
}

/// As [`generate`], to be started by hand.
pub fn raw() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_generate"));
    command.env_remove("RUST_BACKTRACE");
    // Under nohup, say, a signal that these tests send would be ignored.
    let heard = || {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
            // SAFETY: signal is allowed between fork and exec, and the default needs no handler.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: the closure calls nothing but signal, and touches no memory.
    unsafe { command.pre_exec(heard) };
    command
}

/// Whether an emulator runs these programs: their memory is then its own as well.
pub fn is_emulated() -> bool {
    let machine = Command::new("uname").arg("-m").output().expect("there is a uname").stdout;
    cfg!(target_os = "linux") && String::from_utf8_lossy(&machine).trim() != std::env::consts::ARCH
}

/// Runs the program, which must fail with exit code `code` and one line on standard error that holds all
/// of `parts`; no panic, nothing on standard output.
#[track_caller]
pub fn refuses(args: &[&str], code: i32, parts: &[&str]) {
    let output = generate().args(args).write_stdin("").output().expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?} printed {:?}", output.stdout);
    assert!(!stderr.contains("panicked"), "{stderr}");
    let line = stderr.lines().find(|l| l.starts_with("error: ")).unwrap_or_default();
    for part in parts {
        assert!(line.contains(part), "{args:?}: '{part}' is not in: {stderr}");
    }
}
