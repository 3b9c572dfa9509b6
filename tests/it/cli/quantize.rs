//! `quantize`: files that the program reads again, and a sentence for whatever cannot be made.

use std::fs;
use std::path::Path;
use std::process::Command;

use llm_rs2::engine::ModelFiles;
use llm_rs2::format::gguf::{GgufFile, StoredTensor};
use llm_rs2::quant::dequantize_row;

use super::program::generate;

const PROGRAM: &str = env!("CARGO_BIN_EXE_quantize");
const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/gguf/tiny-q4_1.gguf");

const TINY_DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-llama32");

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
    refuses(&[text(dir.path()), text(&out), "Q8_0"], &[text(dir.path())]);
    refuses(
        &[TINY_DIR, text(&out), "Q8_0"],
        &["tiny-llama32'", "has a tokenizer that GGUF files have no form for"],
    );
    refuses(&[TINY, TINY, "Q8_0"], &["is to be read and written"]);
    refuses(&[TINY, text(&out), "Q8_0", "--imatrix", TINY], &["but no importance matrix"]);
    refuses(&[TINY, text(&out), "Q8_0", "--tensor-type", "xyz=q8_0"], &["'xyz'"]);
    refuses(&["--check", text(&other)], &["notes.txt' is no GGUF file"]);
    refuses(&[TINY, "--make-imatrix", text(&other)], &["-o FILE"]);
    refuses(&[TINY, "--make-imatrix", "absent.txt", "-o", text(&out)], &["absent.txt"]);
    refuses(
        &[TINY, text(&out), "--budget", "1kB"],
        &["tiny-q4_1.gguf' has tensors that take", "larger budget"],
    );
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

/// A tensor's numbers.
fn numbers(tensor: &StoredTensor) -> Vec<f32> {
    let cols = *tensor.dims.last().unwrap();
    let mut all = vec![0.0; tensor.dims.iter().product()];
    let bytes = tensor.bytes.as_ref();
    let size = bytes.len() * cols / all.len();
    for (row, bytes) in all.chunks_mut(cols).zip(bytes.chunks(size)) {
        dequantize_row(tensor.dtype.unwrap(), bytes, row).unwrap();
    }
    all
}

/// A text in words that the small model knows.
fn words(count: usize) -> String {
    (0..count).map(|i| format!("t{} ", i * i % 97 + 3)).collect()
}

#[test]
fn an_importance_matrix_has_the_squares_of_what_matrices_are_given() {
    let dir = tempfile::tempdir().unwrap();
    let (source, matrix) = (dir.path().join("text.txt"), dir.path().join("i.gguf"));
    let content = words(200);
    fs::write(&source, &content).unwrap();
    let args =
        [TINY, "--make-imatrix", text(&source), "-o", text(&matrix), "--chunk-size", "32", "--chunks", "3"];
    let (code, stdout, stderr) = run(&args);
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    assert!(stderr.contains("96 tokens") && stderr.contains("in 3 pieces"), "{stderr}");
    let made = GgufFile::open(&matrix).unwrap();
    assert_eq!(made.metadata().text("general.type").unwrap(), Some("imatrix"));
    assert_eq!(made.metadata().integer("imatrix.chunk_count").unwrap(), Some(3));
    assert_eq!(made.metadata().integer("imatrix.chunk_size").unwrap(), Some(32));
    let model = GgufFile::open(Path::new(TINY)).unwrap();
    let of = |file: &GgufFile, name: &str| numbers(&file.tensors().find(|t| t.name == name).expect(name));
    // The first layer's queries are given the norm of the embedding: computed here in plain loops.
    let files = ModelFiles::open(Path::new(TINY)).unwrap();
    let ids = files.encode_text(&content).unwrap();
    let (table, gain) = (of(&model, "token_embd.weight"), of(&model, "blk.0.attn_norm.weight"));
    let mut expected = vec![0.0f64; gain.len()];
    for (at, &id) in ids[..96].iter().enumerate() {
        let begins = at % 32 == 0 && files.bos == ids.first().copied();
        let id = if begins { ids[0] } else { id } as usize;
        let row = &table[id * gain.len()..][..gain.len()];
        let squares: f64 = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        let root = (squares / row.len() as f64 + f64::from(files.config.spec.norm_eps)).sqrt();
        for ((sum, &v), &g) in expected.iter_mut().zip(row).zip(&gain) {
            *sum += (f64::from(v) * f64::from(g) / root).powi(2);
        }
    }
    for part in ["attn_q", "attn_k", "attn_v"] {
        let found = of(&made, &format!("blk.0.{part}.weight.in_sum2"));
        assert_eq!(of(&made, &format!("blk.0.{part}.weight.counts")), [96.0]);
        for (a, b) in found.iter().zip(&expected) {
            assert!((f64::from(*a) - b).abs() <= 1e-4 * b.max(1e-3), "{a} {b}");
        }
    }
    // Of each matrix of a layer, the last one included, and of no other.
    let layers = files.config.spec.layers.len();
    assert_eq!(made.tensors().count(), 2 * 7 * layers);
    assert_eq!(of(&made, &format!("blk.{}.ffn_down.weight.counts", layers - 1)), [96.0]);

    // Made and used at once, or used from the file: the same weights.
    let (first, second) = (dir.path().join("a.gguf"), dir.path().join("b.gguf"));
    let (code, _, stderr) = run(&[
        TINY,
        text(&first),
        "Q4_K_M",
        "--make-imatrix",
        text(&source),
        "--chunk-size",
        "32",
        "--chunks",
        "3",
    ]);
    assert_eq!(code, 0, "{stderr}");
    let (code, _, stderr) = run(&[TINY, text(&second), "Q4_K_M", "--imatrix", text(&matrix)]);
    assert_eq!(code, 0, "{stderr}");
    let bytes = |path: &Path| -> Vec<Vec<u8>> {
        GgufFile::open(path).unwrap().tensors().map(|t| t.bytes.as_ref().to_vec()).collect()
    };
    assert!(bytes(&first) == bytes(&second));
    let (code, _, _) = run(&[TINY, text(&second), "Q4_K_M"]);
    assert!(code == 0 && bytes(&first) != bytes(&second), "the matrix has an influence");
}

#[test]
fn a_budget_is_kept_and_more_bytes_are_no_worse() {
    let dir = tempfile::tempdir().unwrap();
    let (source, out) = (dir.path().join("text.txt"), dir.path().join("out.gguf"));
    fs::write(&source, words(200)).unwrap();
    let mut last = f64::INFINITY;
    for size in ["440kB", "600kB", "900kB"] {
        let (code, stdout, stderr) =
            run(&[TINY, text(&out), "--budget", size, "--calibration", text(&source)]);
        assert_eq!(code, 0, "{stderr}");
        let most: u64 = size.trim_end_matches("kB").parse::<u64>().unwrap() * 1000;
        assert!(fs::metadata(&out).unwrap().len() <= most, "{size}: {stdout}");
        let line = stdout.lines().find(|line| line.starts_with("Mean divergence")).expect(&stdout);
        let found: f64 = line.split(": ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(found <= last * 1.1, "{size}: {found} after {last}");
        last = found;
        let (code, stdout, _) = run(&["--check", text(&out)]);
        assert_eq!(code, 0, "{stdout}");
    }
}
