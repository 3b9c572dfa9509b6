//! Conversations: by pipe, and in a terminal.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::models::Copy;
use super::program::{generate, refuses};
use super::pty::{BACKSPACE, CTRL_C, CTRL_D, Terminal, UP};

/// What a conversation writes to standard output and beside it, and its exit code.
fn talk(copy: &Copy, lines: &str, args: &[&str]) -> (String, String, i32) {
    let temperature: &[&str] = if args.contains(&"--temperature") { &[] } else { &["--temperature", "0"] };
    let output = generate()
        .args(["--chat", "--ignore-eos", "-n", "6", "-m"])
        .arg(copy.path())
        .args(temperature)
        .args(args)
        .write_stdin(lines)
        .output()
        .expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (text(&output.stdout), text(&output.stderr), output.status.code().expect("a code"))
}

/// What the model says behind these words by itself.
fn alone(copy: &Copy, prompt: &str) -> String {
    let output = generate()
        .args(["--temperature", "0", "--ignore-eos", "-n", "6", "--json", "-m"])
        .arg(copy.path())
        .args(["-p", prompt])
        .output()
        .expect("the program starts");
    let value: Value = serde_json::from_slice(&output.stdout).expect("one object");
    value["text"].as_str().expect("text").to_owned()
}

#[test]
fn a_pipe_gets_the_answers_and_nothing_else() {
    let copy = Copy::with_template();
    let first = alone(&copy, "t8 t5 t7");
    let second = alone(&copy, &format!("t8 t5 t7 {first} t8 t6 t11 t7"));
    let (stdout, stderr, code) = talk(&copy, "t5\n\n/stats\nt6 \\\nt11\n/stats\n/quit\nt12\n", &[]);
    assert_eq!((stdout, code), (format!("{first}\n\n{second}\n"), 0));
    assert!(!stderr.contains('\x1b') && !stderr.contains('>'), "{stderr}");
    // The last token of the answer is new to the model, and so are the four of the next message.
    assert!(stderr.contains("last answer: 3 new tokens after 0 known"), "{stderr}");
    assert!(stderr.contains("last answer: 5 new tokens after 8 known"), "{stderr}");
    assert!(stderr.contains("conversation: 4 messages, 18 tokens, 18 of them held"), "{stderr}");
    // A file that ends is a person who leaves.
    let (stdout, _, code) = talk(&copy, "t5", &[]);
    assert_eq!((stdout, code), (format!("{first}\n"), 0));
}

#[test]
fn commands_change_what_is_said() {
    let copy = Copy::with_template();
    let plain = alone(&copy, "t8 t5 t7");
    let told = alone(&copy, "t9 t20 t21 t8 t5 t7");
    let lines = "/system\nt5\n/system t20 t21\n/system\nt5\n/reset\nt5\n/regen\n/help\n";
    let (stdout, stderr, code) = talk(&copy, lines, &[]);
    assert_eq!((stdout, code), (format!("{plain}\n\n{told}\n\n{told}\n\n{told}\n"), 0), "{stderr}");
    for part in ["there is no system message", "\nt20 t21\n", "/quit", "it will be the same answer"] {
        assert!(stderr.contains(part), "'{part}': {stderr}");
    }
    let (stdout, _, _) = talk(&copy, "t5\n", &["--system", "t20 t21"]);
    assert_eq!(stdout, format!("{told}\n"));
}

#[test]
fn another_answer_comes_by_other_random_numbers_and_the_same_ones_each_time() {
    let copy = Copy::with_template();
    let run = |lines: &str| talk(&copy, lines, &["--temperature", "2", "--top-k", "0"]).0;
    let said = run("t5\n/regen\n/regen\n/reset\nt5\n");
    let answers: Vec<&str> = said.trim_end().split("\n\n").collect();
    assert_eq!(answers.len(), 4, "{said}");
    assert!(answers[0] != answers[1] && answers[1] != answers[2], "{said}");
    assert_eq!(answers[0], answers[3], "a new conversation begins as the first did");
    assert_eq!(said, run("t5\n/regen\n/regen\n/reset\nt5\n"));
}

#[test]
fn a_full_context_ends_a_conversation_and_an_eviction_lets_it_go_on() {
    let copy = Copy::with_template();
    let lines = "t5\n".repeat(12) + "/stats\n";
    let (stdout, stderr, code) = talk(&copy, &lines, &["--max-seq-len", "48"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains("error: the conversation has come to") && stderr.contains("context of 48"),
        "{stderr}"
    );
    for way in ["/reset", "--eviction-policy", "--max-seq-len"] {
        assert!(stderr.contains(way), "{stderr}");
    }
    let sliding = ["--max-seq-len", "48", "--eviction-policy", "sliding", "--system", "t20 t21 t22 t23 t24"];
    let (more, stderr, code) = talk(&copy, &lines, &sliding);
    assert_eq!(code, 0, "{stderr}");
    assert!(more.split("\n\n").count() == 12 && stdout.split("\n\n").count() < 12, "{more}");
    // The window of 48 is left with 36. A turn takes 3 tokens, its answer 6 of which the last waits for the next turn: 9
    // fit once, and then each other turn. 7 tokens come before the first words: t9, the five, t8.
    assert!(stderr.contains("113 tokens"), "{stderr}");
    let (_, json, _) =
        talk(&copy, "t5\n/stats\n", &[&sliding[..], &["--eviction-target-ratio", "0.1"]].concat());
    assert!(json.contains("leave 4, which must be more than the 7 protected"), "{json}");
}

#[test]
fn mistakes_are_told() {
    let copy = Copy::with_template();
    let bad = |lines: &str, parts: &[&str]| {
        let (stdout, stderr, code) = talk(&copy, lines, &[]);
        assert_eq!((stdout.as_str(), code), ("", 1), "{stderr}");
        for part in parts {
            assert!(stderr.contains(part), "'{part}': {stderr}");
        }
    };
    bad("/exit\n", &["error: there is no command '/exit'", "/help"]);
    bad("/load /nowhere/at/all\n", &["error: there is no session in '/nowhere/at/all'"]);
    bad("/save /nowhere/at/all\n", &["the conversation is not saved", "'/nowhere/at/all'"]);
    let thesis = copy.file("thesis.txt");
    fs::write(&thesis, "Chapter one.").expect("writable");
    bad(
        &format!("/save {}\n", thesis.display()),
        &["the conversation is not saved", "is no session file", "name another"],
    );
    assert_eq!(fs::read(&thesis).expect("readable"), b"Chapter one.");
    bad("/save\n", &["/save needs the name of a file"]);
    let tiny = super::program::tiny().to_str().expect("a plain path");
    refuses(&["-m", tiny, "--chat"], 1, &["no chat template", "--chat-template", "--chat"]);
    refuses(&["-m", tiny, "--chat", "--json"], 1, &["--json", "leave one of them out"]);
    refuses(
        &["-m", tiny, "--chat", "--chat-template", "/nowhere"],
        1,
        &["cannot open the chat template /nowhere"],
    );
    let template = copy.file("broken.jinja");
    fs::write(&template, "{% for").expect("writable");
    let template = template.to_str().expect("a plain path");
    refuses(
        &["-m", tiny, "--chat", "--chat-template", template],
        1,
        &["chat template is broken", "--chat-template"],
    );
    fs::write(template, "{% for m in messages %}t8 {{ m.content }} {% endfor %}t7").expect("writable");
    let output = generate()
        .args(["-m", tiny, "--chat", "--chat-template", template, "-n", "3"])
        .write_stdin("t5")
        .output();
    assert!(output.is_ok_and(|o| o.status.success() && !o.stdout.is_empty()));
}

/// A conversation whose answers never end by themselves.
fn endless<'a>(copy: &'a Copy, more: &[&'a str]) -> Vec<&'a str> {
    let model = copy.path().to_str().expect("a plain path");
    let base = ["--chat", "--ignore-eos", "--max-seq-len", "100000", "--temperature", "0", "-m", model];
    [&base[..], more].concat()
}

#[test]
fn a_person_talks_in_a_terminal() {
    let copy = Copy::with_template();
    let file = copy.file("talk.session");
    let file = file.to_str().expect("a plain path");
    let mut t = Terminal::generate(&endless(&copy, &[]), copy.path(), &[], None);
    t.see("/help");
    t.prompt();
    // A line is edited before it is sent.
    t.press("t5 t66");
    t.press(BACKSPACE);
    t.see("> t5 t6");
    t.press("\r");
    // Ctrl-C stops the answer and not the program.
    t.wait("an answer", |screen| screen.matches(" t").count() > 60);
    t.press(CTRL_C);
    t.see("note: stopped");
    t.prompt();
    // The line of before, changed.
    t.press(UP);
    t.see("> t5 t6");
    t.enter("7");
    t.wait("the second question", |screen| screen.contains("> t5 t67"));
    t.wait("an answer", |screen| screen.lines().last().is_some_and(|line| line.matches(" t").count() > 3));
    t.press(CTRL_C);
    t.prompt();
    t.enter("/stats");
    t.see("conversation: 4 messages");
    t.see("ended by cancelled");
    t.prompt();
    t.enter(&format!("/save {file}"));
    t.see("note: saved as");
    t.prompt();
    t.enter("/regen");
    t.see("the same answer");
    t.wait("an answer", |screen| screen.lines().last().is_some_and(|line| line.matches(" t").count() > 3));
    t.press(CTRL_C);
    t.prompt();
    t.enter("/reset");
    t.see("forgotten");
    t.prompt();
    t.enter("/nonsense");
    t.see("no command '/nonsense'");
    t.prompt();
    t.enter(&format!("/load {file}"));
    t.see("goes on after 2 answers");
    t.prompt();
    t.enter("/quit");
    assert_eq!(t.code(), Some(0), "{}", t.screen());
    let history = copy.file("llm_rs2/chat_history");
    let lines = fs::read_to_string(&history).expect("a history");
    assert!(lines.contains("t5 t67") && lines.contains("/stats"), "{lines}");
    let mode = fs::metadata(&history).expect("a history").permissions().mode();
    assert_eq!(mode & 0o077, 0, "what a person types is nobody else's: {mode:o}");
}

#[test]
fn three_ways_to_leave() {
    let copy = Copy::with_template();
    let mut t = Terminal::generate(&endless(&copy, &["--no-history"]), copy.path(), &[], None);
    t.prompt();
    t.press("t5");
    t.press(CTRL_C);
    t.see("Ctrl-C once more leaves");
    t.prompt();
    t.press(CTRL_C);
    assert_eq!(t.code(), Some(0), "{}", t.screen());
    let mut t = Terminal::generate(&endless(&copy, &["--no-history"]), copy.path(), &[], None);
    t.prompt();
    t.press(CTRL_D);
    assert_eq!(t.code(), Some(0), "{}", t.screen());
    assert!(!copy.file("llm_rs2").exists(), "--no-history keeps nothing");
}

#[test]
fn colours_are_for_terminals_and_those_who_want_them() {
    let copy = Copy::with_template();
    let leave = |args: &[&str], env: &[(&str, &str)]| {
        let mut t = Terminal::generate(&endless(&copy, args), copy.path(), env, None);
        t.prompt();
        t.press(CTRL_D);
        assert_eq!(t.code(), Some(0), "{}", t.screen());
        t.raw.contains("\x1b[2m") || t.raw.contains("\x1b[1;32m")
    };
    assert!(leave(&[], &[]));
    assert!(!leave(&["--no-color"], &[]));
    assert!(!leave(&[], &[("NO_COLOR", "1")]));
}

#[test]
fn a_file_gets_the_answers_alone_while_a_person_types() {
    let copy = Copy::with_template();
    let out = copy.file("out.txt");
    let stdout = fs::File::create(&out).expect("writable").into();
    let model = copy.path().to_str().expect("a plain path");
    let args = ["--chat", "--ignore-eos", "--temperature", "0", "-n", "6", "-m", model];
    let mut t = Terminal::generate(&args, copy.path(), &[], Some(stdout));
    t.prompt();
    t.enter("t5");
    t.wait("the second prompt", |screen| screen.matches("> ").count() == 2 || screen.ends_with("\n>"));
    t.enter("/quit");
    assert_eq!(t.code(), Some(0), "{}", t.screen());
    let answer = alone(&copy, "t8 t5 t7");
    assert_eq!(fs::read_to_string(out).expect("readable"), format!("{answer}\n"));
    assert!(!t.screen().contains(answer.trim()), "{}", t.screen());
}
