//! `scripts/run_android.sh` against a stand-in for adb, whose phone is a folder of this machine.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

const PROGRAM: &str = env!("CARGO_BIN_EXE_generate");
const ONE: &str = "SERIAL1 device";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A phone: its folder, and the stand-ins that lead to it.
struct Phone {
    home: tempfile::TempDir,
}

impl Phone {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("data local's")
    }

    fn command(&self, devices: &str, args: &[&str]) -> Command {
        let path =
            format!("{}:{}", root().join("tests/fixtures/adb").display(), std::env::var("PATH").unwrap());
        // With SIGINT as it is by default: whatever a script starts in the background does not hear it otherwise.
        let mut command = Command::new("env");
        command.args(["--default-signal=INT", "bash"]).arg(root().join("scripts/run_android.sh")).args(args);
        command.env("PATH", path).env("FAKE_DEVICES", devices).env("LLM_RS2_DEVICE_DIR", self.folder());
        // A language that is not installed would make bash say so.
        command.env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    /// Exit code, standard output, standard error.
    fn run_on(&self, devices: &str, args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
        let output = self.command(devices, args).envs(variables.iter().copied()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn generate(&self, args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
        self.run_on(ONE, &[&["--binary", PROGRAM, "generate"], args].concat(), variables)
    }
}

const STORY: [&str; 5] = ["--prompt", "It's \"$HOME\" `x`;", "-n", "12", "-q"];

#[test]
fn text_and_exit_code_are_the_programs_and_nothing_is_pushed_twice() {
    let phone = Phone::new();
    let here = Command::new(PROGRAM).args(STORY).output().unwrap();
    let (code, text, said) = phone.generate(&STORY, &[]);
    assert_eq!((code, text.as_bytes()), (0, &here.stdout[..]), "{said}");
    assert!(said.contains("pushing generate, "), "{said}");
    let (code, text, said) = phone.generate(&STORY, &[]);
    assert_eq!((code, text.as_bytes(), said.as_str()), (0, &here.stdout[..], ""));
    let (code, text, said) = phone.generate(&["--prompt", "x", "--max-seq-len", "0"], &[]);
    assert_eq!((code, text.as_str()), (2, ""), "{said}");
    assert!(said.contains("--max-seq-len"), "{said}");
    // A prompt through the pipe.
    let mut child = phone.command(ONE, &["--binary", PROGRAM, "generate", "-n", "3", "-q", "--echo"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"Once upon\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("Once upon"));
}

#[test]
fn a_model_and_a_prompt_are_brought_under_names_of_their_own_and_results_come_back() {
    let phone = Phone::new();
    let dir = tempfile::tempdir().unwrap();
    let (packed, prompt) = (dir.path().join("m.packed"), dir.path().join("a prompt.txt"));
    let tiny = root().join("tests/fixtures/tiny-llama32");
    let pack = Command::new(PROGRAM)
        .arg("-m")
        .arg(tiny)
        .arg("--pack-to")
        .arg(&packed)
        .args(["-q"])
        .output()
        .unwrap();
    assert!(pack.status.success(), "{}", String::from_utf8_lossy(&pack.stderr));
    std::fs::write(&prompt, "t1 t2 t3").unwrap();
    let (packed, prompt) = (packed.to_str().unwrap(), prompt.to_str().unwrap());
    let rest = ["-n", "5", "-q", "--temperature", "0", "--ignore-eos"];
    let here = Command::new(PROGRAM).args(["-m", packed, "-f", prompt]).args(rest).output().unwrap();
    assert!(here.status.success());
    let path = format!("--model-path={packed}");
    for model in [&["-m", packed][..], &[&path]] {
        let (code, text, said) = phone.generate(&[model, &["-f", prompt], &rest].concat(), &[]);
        assert_eq!((code, text.as_bytes()), (0, &here.stdout[..]), "{said}");
        assert_eq!(said.contains("m.packed"), model.len() == 2, "{said}");
    }
    let out = dir.path().join("results");
    std::fs::write(phone.folder().join("profile.json"), "{}").unwrap();
    let pull =
        ["--binary", PROGRAM, "--pull", "profile.json", "--pull-to", out.to_str().unwrap(), "generate"];
    let (code, _, said) = phone.run_on(ONE, &[&pull[..], &STORY].concat(), &[]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(std::fs::read_to_string(out.join("profile.json")).unwrap(), "{}");
    let (code, _, said) = phone.generate(&["-m", "nowhere/model", "-p", "x"], &[]);
    assert_eq!(
        (code, said.trim_end()),
        (1, "run_android.sh: there is no file or directory nowhere/model on this machine")
    );
}

#[test]
fn of_a_checkpoint_a_packed_file_is_made_here_and_nothing_else_is_brought() {
    let phone = Phone::new();
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("tiny");
    std::fs::create_dir(&model).unwrap();
    for file in std::fs::read_dir(root().join("tests/fixtures/tiny-llama32")).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file() {
            std::fs::copy(file.path(), model.join(file.file_name())).unwrap();
        }
    }
    let rest =
        ["-m", model.to_str().unwrap(), "-p", "t1 t2", "-n", "5", "--temperature", "0", "--ignore-eos"];
    let run = |dtype: &str| {
        let args = ["--packer", PROGRAM, "--binary", PROGRAM, "generate", "-q", "--weight-dtype", dtype];
        let (code, text, said) = phone.run_on(ONE, &[&args[..], &rest].concat(), &[]);
        assert_eq!(code, 0, "{said}");
        let here = Command::new(PROGRAM)
            .args(["-q", "--pack-cache", "off", "--weight-dtype", dtype])
            .args(rest)
            .output();
        assert_eq!(text.as_bytes(), here.unwrap().stdout);
        said
    };
    assert!(run("q8_0").contains("pushing tiny-phone-q8_0.packed"));
    assert!(!run("q8_0").contains("pushing"));
    assert!(run("f32").contains("pushing tiny-phone-f32.packed"));
    // A checkpoint that has changed is packed anew.
    let packed = model.join(".llm_rs2/phone-q8_0.packed");
    let set = |path: &Path, time| {
        std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap()
    };
    let changed = SystemTime::now() - Duration::from_secs(10);
    for file in std::fs::read_dir(&model).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()) {
        set(&file, changed - Duration::from_secs(20));
    }
    set(&packed, changed - Duration::from_secs(10));
    set(&model.join("config.json"), changed);
    run("q8_0");
    assert!(std::fs::metadata(&packed).unwrap().modified().unwrap() > changed);
    let there = std::fs::read_dir(phone.folder()).unwrap().map(|e| e.unwrap().file_name());
    assert!(!there.into_iter().any(|name| name.to_string_lossy().ends_with(".safetensors")));
}

#[test]
fn a_push_that_broke_off_goes_on_where_it_ended() {
    let phone = Phone::new();
    let (code, _, said) = phone.generate(&STORY, &[("FAKE_CUT", "3145728")]);
    assert_eq!(code, 1);
    assert!(said.contains("the push of generate ended early") && said.contains("run this again"), "{said}");
    let (code, _, said) = phone.generate(&STORY, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(" (3 MiB are there)"), "{said}");
    let there = std::fs::read(phone.folder().join("generate")).unwrap();
    assert!(there == std::fs::read(PROGRAM).unwrap());
    // Another file of the same size is not taken for it.
    std::fs::write(phone.folder().join("generate.sum"), "0").unwrap();
    let (_, _, said) = phone.generate(&STORY, &[]);
    assert!(said.contains("pushing generate, "), "{said}");
    // Half a file that is damaged is found out.
    std::fs::write(phone.folder().join("generate.sum"), "0").unwrap();
    phone.generate(&STORY, &[("FAKE_CUT", "4096")]);
    let part = std::fs::read_dir(phone.folder()).unwrap().map(|e| e.unwrap().path());
    let part = part.into_iter().find(|p| p.extension().is_some_and(|e| e == "part")).unwrap();
    std::fs::write(&part, [0; 4096]).unwrap();
    let (code, _, said) = phone.generate(&STORY, &[]);
    assert_eq!(code, 1);
    assert!(said.contains("generate arrived damaged and was removed") && !part.exists(), "{said}");
}

#[test]
fn what_stands_in_the_way_is_a_sentence() {
    let phone = Phone::new();
    for (devices, args, part) in [
        ("", &[][..], "adb knows no device; connect a phone"),
        (ONE, &["-s", "OTHER"], "adb knows no device OTHER"),
        ("A offline", &[], "A is offline: plug it in again"),
        ("A unauthorized", &[], "A is unauthorized: unlock it and allow USB debugging"),
        ("A device\nB device", &[], "there are 2 devices: A B; choose one with -s"),
        (ONE, &["--binary", "nowhere/generate"], "there is no file nowhere/generate"),
    ] {
        let (code, out, said) = phone.run_on(devices, &[args, &["generate", "-p", "x"]].concat(), &[]);
        assert_eq!((code, out.as_str()), (1, ""), "{said}");
        assert!(said.starts_with("run_android.sh: ") && said.contains(part), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let (code, _, said) = phone.generate(&STORY, &[("FAKE_FREE_KIB", "100")]);
    assert_eq!(code, 1);
    assert!(said.contains("generate needs ") && said.contains("has 0 MiB free"), "{said}");
    for (args, part) in
        [(&["rm"][..], "no program 'rm'"), (&["--fast"], "unknown option"), (&["-s"], "needs a value")]
    {
        let (code, _, said) = phone.run_on(ONE, args, &[]);
        assert_eq!(code, 2);
        assert!(said.contains(part), "{said}");
    }
    // With -s it is clear which.
    let args = ["-s", "B", "--binary", PROGRAM, "generate", "-p", "x", "-n", "1"];
    let (code, _, said) = phone.run_on("A device\nB device\nC offline", &args, &[]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn an_interruption_ends_the_program_on_the_phone() {
    let phone = Phone::new();
    phone.generate(&STORY, &[]);
    // A text that does not end by itself while anybody waits.
    let endless =
        ["-n", "100000000", "--ignore-eos", "--eviction-policy", "sliding", "--eviction-window", "64"];
    let args = [&["--binary", PROGRAM, "generate", "-p", "Once"][..], &endless].concat();
    let mut child = phone.command(ONE, &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = phone.folder().join("pid.generate");
    let until = Instant::now() + Duration::from_secs(60);
    let stamp = std::fs::metadata(&pid).unwrap().modified().unwrap();
    while std::fs::metadata(&pid).unwrap().modified().unwrap() == stamp {
        assert!(Instant::now() < until, "the program does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let remote = std::fs::read_to_string(&pid).unwrap();
    assert!(!Path::new("/proc").join(remote.trim()).exists(), "it still runs");
}
