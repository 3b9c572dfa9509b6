//! The C interface from outside: a C program and Python against the shared library, and the header against the code.
//! `cargo test` makes the library (the example `llm_rs2_c`); where it, a compiler or Python is missing, what needs them is
//! skipped, and says so.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use llm_rs2::capi::{API_VERSION, ErrorText, GenerateOptions, GenerateResult, LoadOptions, Status};

use crate::skip::{inapplicable, skipped};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The shared library, if it was made, for a machine whose programs can be run beside this test: an emulator runs this
/// one alone.
fn library() -> Option<PathBuf> {
    let programs = Path::new(env!("CARGO_BIN_EXE_generate")).parent().expect("it lies in a directory");
    let library = programs.join("examples").join("libllm_rs2_c.so");
    let machine = Command::new("uname").arg("-m").output().ok()?;
    if String::from_utf8_lossy(&machine.stdout).trim() != std::env::consts::ARCH {
        inapplicable("the C interface", "this test is emulated, and a compiled program would not be");
        return None;
    }
    if !library.exists() {
        skipped("the C interface", "there is no shared library; cargo build --example llm_rs2_c makes it");
        return None;
    }
    Some(library)
}

fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = found.is_ok_and(|status| status.success());
    if !there {
        skipped("the C interface", &format!("there is no {program}"));
    }
    there
}

/// Standard output of a command that must succeed.
#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Compiles a C program against the header and the library.
fn compile(source: &Path, library: &Path, dir: &Path) -> PathBuf {
    let program = dir.join("program");
    let folder = library.parent().expect("it lies in a directory");
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-pthread", "-D_GNU_SOURCE"]);
    cc.arg("-I").arg(Path::new(ROOT).join("include")).arg("-o").arg(&program).arg(source);
    cc.arg("-L").arg(folder).arg("-lllm_rs2_c").arg(format!("-Wl,-rpath,{}", folder.display()));
    output(&mut cc);
    program
}

/// The text that `generate` writes.
fn generated(args: &[&str]) -> String {
    output(Command::new(env!("CARGO_BIN_EXE_generate")).args(args).arg("--quiet"))
}

const PROMPT: &str = "Once upon a time";

#[test]
fn a_c_program_gets_the_same_story_and_gets_codes_for_what_is_wrong() {
    let Some(library) = library().filter(|_| is_there("cc")) else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let program = compile(&Path::new(ROOT).join("tests/fixtures/capi.c"), &library, dir.path());
    let out = output(Command::new(program).arg(PROMPT));
    let (lines, text) = out.split_once("\ntext ").expect("the text comes last");
    let expected = generated(&["-p", PROMPT, "-n", "40", "--seed", "7"]);
    assert_eq!(text, expected);
    let sizes = [
        size_of::<ErrorText>(),
        size_of::<LoadOptions>(),
        size_of::<GenerateOptions>(),
        size_of::<GenerateResult>(),
    ];
    let offsets = [
        std::mem::offset_of!(LoadOptions, reserved),
        std::mem::offset_of!(GenerateOptions, seed),
        std::mem::offset_of!(GenerateOptions, presence_penalty),
        std::mem::offset_of!(GenerateResult, decode_seconds),
    ];
    let numbers = |n: [usize; 4]| n.map(|n| n.to_string()).join(" ");
    let ids = generated(&["-p", PROMPT, "-n", "1", "--json"]);
    let tokens = serde_json::from_str::<serde_json::Value>(&ids).expect("JSON")["prompt_tokens"].clone();
    let mut lines = lines.lines();
    // Each line as it has to be, or how it has to begin.
    for expected in [
        format!("sizes {}", numbers(sizes)),
        format!("offsets {}", numbers(offsets)),
        format!("version 1 {}", env!("CARGO_PKG_VERSION")),
        "no-file 6 6 '/no/such/model' does not exist".into(),
        "no-utf8 2 2 model_path is not UTF-8 from byte 0 on".into(),
        "no-dtype 1 1 weight_dtype 'q9_k': choose one of".into(),
        "no-backend 1 1 backend 'cuda' is unknown".into(),
        "no-memory 7 7 this needs".into(),
        format!("other-size 1 1 struct_size is {}, and this", size_of::<LoadOptions>() - 1),
        "no-model-pointer 1 1 model is NULL".into(),
        "load 0 0 ".into(),
        "tokenize 0 0 ".into(),
        format!("ids {tokens} "),
        format!("too-small 5 5 the text has {tokens} tokens, and there is room for 1"),
        "needed 1".into(),
        "no-text 1 1 text is NULL".into(),
        "no-prompt 1 1 prompt is NULL".into(),
        "generate 0 0 ".into(),
        format!("finish 2 {tokens} 40"),
        "inner 4".into(),
        "times 1".into(),
        "callback-ends 0 0 ".into(),
        "finish 5 3 0".into(),
        "cancel 0 0 ".into(),
        "finish 4 1".into(),
        "no-request-pointer 1 1 request is NULL".into(),
        "request 0 0 ".into(),
        "cancel-early 0 0 ".into(),
        "cancelled 0 0 ".into(),
        "finish 4 0 0".into(),
        "spent 1 1 request ".into(),
        "cancel-late 0 0 ".into(),
        "cancel-never 1 1 no request has had the number".into(),
        "another 0 0 ".into(),
        "finish 2 3".into(),
        "written 1 24".into(),
        format!(
            "older 1 1 struct_size is 24, and this library's struct has {}",
            size_of::<GenerateOptions>()
        ),
        "newer 0 0 ".into(),
        "newer-set 1 1 options beyond the".into(),
        "stop 0 0 ".into(),
        "finish 1 1".into(),
        "no-temperature 1 1 ".into(),
        "free 0 0 ".into(),
        "freed 3 3 no model has the number".into(),
        "freed-twice 3 3 no model has the number".into(),
        "cancel-freed 3 ".into(),
        "never 3 3 no model has the number 0".into(),
    ] {
        let line = lines.next().unwrap_or_default();
        assert!(line.starts_with(&expected), "'{line}' does not begin with '{expected}'");
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn the_examples_print_the_same_story() {
    let Some(library) = library() else { return };
    let expected = generated(&["-p", PROMPT, "-n", "60"]);
    if is_there("cc") {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let program = compile(&Path::new(ROOT).join("examples/embed.c"), &library, dir.path());
        assert_eq!(output(Command::new(&program).arg(PROMPT)), expected);
        let failed = Command::new(program).args([PROMPT, "/no/such/model"]).output().expect("it starts");
        assert_eq!(failed.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&failed.stderr).contains("'/no/such/model' does not exist"));
    }
    if is_there("python3") {
        let mut python = Command::new("python3");
        python.arg(Path::new(ROOT).join("examples/embed.py")).arg(PROMPT).env("LLM_RS2_LIBRARY", &library);
        assert_eq!(output(&mut python), expected);
        let mut lost = Command::new("python3");
        lost.arg(Path::new(ROOT).join("examples/embed.py"))
            .arg(PROMPT)
            .env("LLM_RS2_LIBRARY", "/no/such/library");
        let said = String::from_utf8(lost.output().expect("it starts").stderr).expect("UTF-8");
        assert!(said.starts_with("error: cannot load the library: /no/such/library"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        let failed = python.arg("/no/such/model").output().expect("it starts");
        assert_eq!(failed.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&failed.stderr).contains("'/no/such/model' does not exist"));
    }
}

/// The folder of Java's native interface, if a JDK is here.
fn jni() -> Option<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").map(PathBuf::from);
    let installed = fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten().map(|e| e.path());
    home.into_iter().chain(installed).map(|jdk| jdk.join("include")).find(|i| i.join("jni.h").exists())
}

#[test]
fn the_bridge_in_the_documentation_compiles() {
    if !is_there("cc") {
        return;
    }
    let Some(jni) = jni() else { return skipped("the bridge to Kotlin", "there is no JDK") };
    let page = fs::read_to_string(Path::new(ROOT).join("docs/EMBEDDING.md")).expect("the page is there");
    let (_, bridge) = page.split_once("```c\n").expect("it begins");
    let (bridge, _) = bridge.split_once("```").expect("it ends");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let source = dir.path().join("llm_jni.c");
    fs::write(&source, bridge).expect("it can be written");
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"]).arg(&jni);
    let system = if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS };
    cc.arg("-I").arg(jni.join(system)).arg("-I").arg(Path::new(ROOT).join("include"));
    output(cc.arg(&source));
    // What it offers is what the class asks for.
    let natives: BTreeSet<_> = page.lines().filter_map(|l| l.split_once("external fun ")).collect();
    assert_eq!(natives.len(), 5);
    for (_, signature) in natives {
        let name = signature.split('(').next().unwrap_or_default();
        assert!(bridge.contains(&format!(" Java_dev_example_Llm_{name}(")), "{name}");
    }
}

fn header() -> String {
    fs::read_to_string(Path::new(ROOT).join("include/llm_rs2.h")).expect("the header is there")
}

#[test]
fn the_header_has_the_codes_of_the_library() {
    let header = header();
    let defined: Vec<(&str, &str)> = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define LLM_RS2_")?.split_once(' '))
        .map(|(name, value)| (name, value.split_whitespace().next().unwrap_or_default()))
        .collect();
    let of =
        |name: &str| defined.iter().find(|(n, _)| *n == name).map(|(_, value)| value.parse::<i64>().unwrap());
    assert_eq!(of("API_VERSION"), Some(i64::from(API_VERSION)));
    for (status, name) in Status::ALL {
        let short = name.strip_prefix("LLM_RS2_").expect("they all begin so");
        assert_eq!(of(short), Some(status as i64), "{name}");
    }
    // Ten codes, six reasons, the version, and the guard's line, which has no value.
    assert_eq!(defined.len(), Status::ALL.len() + 6 + 1, "{defined:?}");
}

#[test]
fn the_header_declares_the_functions_of_the_library() {
    let functions = |text: &str, before: &str| -> BTreeSet<String> {
        let ends = text.match_indices(before).map(|(at, _)| &text[at + before.len()..]);
        let names = ends.filter_map(|rest| rest.split_once('(').map(|(name, _)| format!("llm_rs2_{name}")));
        names.filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).collect()
    };
    let code = fs::read_to_string(Path::new(ROOT).join("src/capi/mod.rs")).expect("the source is there");
    let ours = functions(&code, "extern \"C\" fn llm_rs2_");
    let header = header();
    let outside_comments: String =
        header.split("/*").map(|part| part.split_once("*/").map_or(part, |(_, rest)| rest)).collect();
    let declared = functions(&outside_comments, "llm_rs2_");
    assert_eq!(declared, ours);
    assert_eq!(ours.len(), 10, "{ours:?}");
    if let Some(library) = library() {
        // SAFETY: the library is ours and does nothing when it is loaded.
        let library = unsafe { libloading::Library::new(library) }.expect("it can be loaded");
        for name in ours {
            // SAFETY: only the address is looked for; nothing is called.
            let symbol = unsafe { library.get::<unsafe extern "C" fn()>(name.as_bytes()) };
            assert!(symbol.is_ok(), "the library has no {name}");
        }
    }
}
