//! `quantize`: files that the program reads again, and a sentence for whatever cannot be made.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::program::generate;

const PROGRAM: &str = env!("CARGO_BIN_EXE_quantize");
const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/gguf/tiny-q4_1.gguf");

/// Exit code, standard output and standard error of a run.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(PROGRAM).args(args).output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

/// A run that must fail with exit code 1 and one line that holds all of `parts`.
#[track_caller]
fn refuses(args: &[&str], parts: &[&str]) {
    let (code, stdout, stderr) = run(args);
    assert_eq!((code, stdout.as_str()), (1, ""), "{args:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    for part in parts {
        assert!(
            stderr.starts_with("error: ") && stderr.contains(part),
            "{args:?}: '{part}' is not in: {stderr}"
        );
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn what_is_made_is_in_order_and_runs() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.gguf");
    for mix in ["q8_0", "Q4_K_M", "IQ4_XS", "Q3_K", "f32"] {
        let (code, stdout, stderr) = run(&[TINY, text(&out), mix]);
        assert_eq!(code, 0, "{mix}: {stderr}");
        assert!(
            stdout.contains("bits each") && stderr.contains("had been quantized before"),
            "{stdout} {stderr}"
        );
        let (code, stdout, stderr) = run(&["--check", text(&out)]);
        assert_eq!(code, 0, "{mix}: {stdout} {stderr}");
        assert!(stdout.contains("in order"), "{stdout}");
        generate().args(["-q", "-n", "2", "--prompt", "t1 t2", "-m", text(&out)]).assert().success();
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_dry_run_lists_types_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.gguf");
    let args = [TINY, text(&out), "Q8_0", "--dry-run", "--tensor-type", "attn_v=f16"];
    let (code, stdout, _) = run(&args);
    let line = |name: &str| stdout.lines().find(|l| l.starts_with(name)).unwrap_or_default();
    assert_eq!((code, out.exists()), (0, false));
    assert!(line("blk.0.attn_v.weight").ends_with("Q4_1 -> F16"), "{stdout}");
    assert!(line("Weights would take").contains("Q8_0"), "{stdout}");
}

#[test]
fn what_cannot_be_made_is_said_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.gguf");
    let other = dir.path().join("notes.txt");
    fs::write(&other, "no model").unwrap();
    refuses(&["absent.gguf", text(&out), "Q8_0"], &["'absent.gguf' does not exist"]);
    refuses(&[text(&other), text(&out), "Q8_0"], &["notes.txt' is no GGUF file"]);
    refuses(&[text(dir.path()), text(&out), "Q8_0"], &["is a directory; give a GGUF file"]);
    refuses(&[TINY, TINY, "Q8_0"], &["is to be read and written"]);
    refuses(&[TINY, text(&out), "Q8_0", "--imatrix", TINY], &["but no importance matrix"]);
    refuses(&[TINY, text(&out), "Q8_0", "--tensor-type", "xyz=q8_0"], &["'xyz'"]);
    refuses(&["--check", text(&other)], &["notes.txt' is no GGUF file"]);
    assert!(!out.exists());
    let (code, _, stderr) = run(&[TINY, text(&out), "IQ2_XXS"]);
    assert!(code == 2 && stderr.contains("Q4_K_M"), "{stderr}");
}

#[test]
fn a_file_that_is_cut_or_has_other_values_fails_its_check() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.gguf");
    let whole = fs::read(TINY).unwrap();
    fs::write(&path, &whole[..whole.len() - 100]).unwrap();
    refuses(&["--check", text(&path)], &["bad.gguf'", "download it again"]);
    // Halves that are NaN where the last tensor is.
    let mut changed = whole;
    let end = changed.len();
    changed[end - 2048..].fill(0xff);
    fs::write(&path, &changed).unwrap();
    let (code, stdout, stderr) = run(&["--check", text(&path)]);
    assert_eq!((code, stderr.as_str()), (1, ""), "{stdout}");
    assert!(stdout.contains("values are NaN or infinite"), "{stdout}");
}
