//! Models that reason before they answer: what is shown of it, what the next turn gets of it, and the switch.

use std::fs;

use serde_json::{Value, json};

use super::models::Copy;
use super::program::{generate, refuses};
use super::pty::{CTRL_D, Terminal};

/// Reasoning is left out of earlier turns.
const LEAVES_OUT: &str = "{{ m.content.split('</think>')[-1] }}";

/// Reasoning is kept in every turn.
const KEEPS: &str =
    "{% if m.reasoning_content %}<think> {{ m.reasoning_content }} </think> {% endif %}{{ m.content }}";

/// A template that writes messages like this.
fn template(message: &str, prompt: &str) -> String {
    format!(
        "{{% for m in messages %}}{{{{ {{'system': 't9', 'user': 't8', 'assistant': 't7'}}[m.role] }}}} {message} \
         {{% endfor %}}{{% if add_generation_prompt %}}t7{prompt}{{% endif %}}"
    )
}

/// A switch as Qwen 3 has it.
const SWITCH: &str =
    "{% if enable_thinking is defined and enable_thinking is false %} <think> </think>{% endif %}";

/// The tiny checkpoint, whose answer to "t5" begins with reasoning: two words that it says are the markers now.
pub struct Thinker {
    copy: Copy,
    pub reasoning: String,
    pub answer: String,
}

/// As many tokens as the answer to "t5" has here.
const TOKENS: &str = "10";

impl Thinker {
    pub fn new(template: &str) -> Self {
        Self::with(template, false)
    }

    /// With `special` the markers are special tokens, which are not part of a text by themselves.
    fn with(template: &str, special: bool) -> Self {
        let plain = said(&Copy::new(), &["-n", TOKENS, "-p", "t8 t5 t7"]);
        let ids: Vec<u64> = plain["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        let markers = [(ids[0], "<think>"), (ids[5], "</think>")];
        for (id, _) in markers {
            assert_eq!(ids.iter().filter(|other| **other == id).count(), 1, "{ids:?}");
        }
        let copy = Copy::new().json("tokenizer.json", |t| {
            let vocab = t["model"]["vocab"].as_object_mut().unwrap();
            for (id, marker) in markers {
                vocab.remove(&format!("t{id}"));
                vocab.insert(marker.into(), json!(id));
            }
            let added = |(id, marker)| {
                json!({
                    "id": id, "content": marker, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": special,
                })
            };
            t["added_tokens"] = markers.map(added).to_vec().into();
        });
        fs::write(copy.file("tokenizer_config.json"), json!({ "chat_template": template }).to_string())
            .unwrap();
        let words = |ids: &[u64]| ids.iter().map(|id| format!("t{id}")).collect::<Vec<_>>().join(" ");
        Self { copy, reasoning: words(&ids[1..5]), answer: words(&ids[6..]) }
    }

    pub fn model(&self) -> &str {
        self.copy.path().to_str().expect("a plain path")
    }

    /// What a conversation of these lines writes to standard output and beside it.
    fn talk(&self, lines: &str, args: &[&str]) -> (String, String) {
        let tokens: &[&str] = if args.contains(&"-n") { &[] } else { &["-n", TOKENS] };
        let output = generate()
            .args(["--chat", "--ignore-eos", "--temperature", "0", "-m", self.model()])
            .args(tokens)
            .args(args)
            .write_stdin(lines)
            .output()
            .expect("the program starts");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    }

    /// The prompt that `--print-prompt --json` prints.
    fn prompt(&self, args: &[&str]) -> Value {
        let output = generate()
            .args(["--print-prompt", "--json", "-q", "--chat", "-m", self.model()])
            .args(args)
            .output();
        let output = output.expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("one object")
    }
}

/// One text as JSON.
fn said(copy: &Copy, args: &[&str]) -> Value {
    let output = generate()
        .args(["--temperature", "0", "--ignore-eos", "--json", "-q", "-m"])
        .arg(copy.path())
        .args(args)
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one object")
}

#[test]
fn standard_output_gets_the_answer_and_json_the_reasoning_too() {
    for special in [false, true] {
        let thinker = Thinker::with(&template(LEAVES_OUT, ""), special);
        let (stdout, stderr) = thinker.talk("", &["-p", "t5"]);
        assert_eq!(stdout, format!("{}\n", thinker.answer));
        assert!(!stderr.contains(&thinker.reasoning) && !stderr.contains("warning"), "{stderr}");
        let value = said(&thinker.copy, &["--chat", "-p", "t5", "-n", TOKENS]);
        assert_eq!(value["text"], thinker.answer);
        assert_eq!(value["reasoning"], thinker.reasoning);
        assert_eq!(value["ids"].as_array().map(Vec::len), Some(10));
    }
    // A text that no template has written is left as it is.
    let thinker = Thinker::new(&template(LEAVES_OUT, ""));
    let value = said(&thinker.copy, &["-p", "t8 t5 t7", "-n", TOKENS]);
    assert!(value["text"].as_str().is_some_and(|text| text.contains("<think>")), "{value}");
    assert_eq!(value["reasoning"], Value::Null);
}

#[test]
fn an_answer_that_has_not_begun_is_reported() {
    let thinker = Thinker::new(&template(LEAVES_OUT, ""));
    let (stdout, stderr) = thinker.talk("", &["-p", "t5", "-n", "4", "-q"]);
    assert_eq!(stdout, "");
    assert!(
        stderr.contains("warning: the text ended in the model's reasoning") && stderr.contains("-n"),
        "{stderr}"
    );
    let value = said(&thinker.copy, &["--chat", "-p", "t5", "-n", "4"]);
    assert_eq!(value["text"], "");
    assert!(value["reasoning"].as_str().is_some_and(|text| thinker.reasoning.starts_with(text)), "{value}");
    let (stdout, stderr) = thinker.talk("t5\n", &["-n", "4"]);
    assert_eq!(stdout, "");
    assert!(stderr.contains("note: the text ended in the model's reasoning"), "{stderr}");
}

#[test]
fn the_template_may_have_begun_the_reasoning() {
    // The prompt ends with the marker, so that what follows is reasoning from its first word on.
    let thinker = Thinker::new(&template(LEAVES_OUT, " <think>"));
    let value = said(&thinker.copy, &["--chat", "-p", "t5", "-n", TOKENS]);
    let plain = said(&thinker.copy, &["-p", "t8 t5 t7 <think>", "-n", TOKENS]);
    let text = plain["text"].as_str().expect("text");
    let (reasoning, answer) = text.split_once("</think>").unwrap_or((text, ""));
    assert_eq!(value["reasoning"], reasoning.trim());
    assert_eq!(value["text"], answer.trim_start());
}

#[test]
fn the_next_turn_leaves_reasoning_out_or_keeps_it_as_the_template_does() {
    for (message, kept) in [(LEAVES_OUT, false), (KEEPS, true)] {
        let thinker = Thinker::new(&template(message, SWITCH));
        let file = thinker.copy.file("talk.session");
        let file = file.to_str().expect("a plain path");
        let (_, stderr) = thinker.talk("t5\nt6\n/stats\n", &[]);
        // What the prompts have in common: the first one, or all but the last token of its answer.
        let known = if kept { "after 12 known" } else { "after 3 known" };
        assert!(stderr.contains(known), "{known}: {stderr}");
        // So after an interruption.
        let whole = thinker.talk("t5\nt6\n", &[]).0;
        let first = thinker.talk("t5\n", &["--session", file]).0;
        let message = if kept {
            format!("t7 <think> {} </think> {}", thinker.reasoning, thinker.answer)
        } else {
            format!("t7 {}", thinker.answer)
        };
        let prompt = thinker.prompt(&["-p", "t6", "--session", file]);
        assert_eq!(prompt["text"], format!("t8 t5 {message} t8 t6 t7"));
        // Looking at it costs nothing of it.
        let (_, stderr) = thinker.talk("/stats\n", &["--session", file]);
        assert!(stderr.contains("12 of them held"), "{stderr}");
        let (second, stderr) = thinker.talk("t6\n/stats\n", &["--session", file]);
        assert_eq!(format!("{first}\n{second}"), whole);
        assert!(stderr.contains(known), "{known}: {stderr}");
    }
}

#[test]
fn the_switch_of_the_template_is_set_and_stored() {
    let thinker = Thinker::new(&template(LEAVES_OUT, SWITCH));
    let on = "t8 t5 t7";
    let off = "t8 t5 t7 <think> </think>";
    for (args, text, thinking) in [
        (&[][..], on, Value::Null),
        (&["--think"][..], on, true.into()),
        (&["--no-think"][..], off, false.into()),
    ] {
        let prompt = thinker.prompt(&[&["-p", "t5"], args].concat());
        assert_eq!((&prompt["text"], &prompt["thinking"]), (&text.into(), &thinking), "{args:?}");
    }
    // A conversation in JSON has its own say, but the flag is nearer.
    let messages = thinker.copy.file("talk.json");
    let talk = json!({ "messages": [{ "role": "user", "content": "t5" }], "enable_thinking": false });
    fs::write(&messages, talk.to_string()).expect("writable");
    let messages = messages.to_str().expect("a plain path");
    assert_eq!(thinker.prompt(&["--messages", messages])["text"], off);
    assert_eq!(thinker.prompt(&["--messages", messages, "--think"])["text"], on);
    // A session goes on as it began.
    let file = thinker.copy.file("talk.session");
    let file = file.to_str().expect("a plain path");
    let value = said(&thinker.copy, &["--chat", "-p", "t5", "-n", "4", "--no-think", "--session", file]);
    assert_eq!(value["settings"]["thinking"], false);
    let next = |args: &[&str]| {
        let prompt = thinker.prompt(&[&["-p", "t6", "--session", file], args].concat());
        prompt["text"].as_str().expect("a text").ends_with("<think> </think>")
    };
    assert!(next(&[]) && !next(&["--think"]));
    let (_, stderr) = thinker.talk("/think\n", &["--session", file]);
    assert!(stderr.contains("the model answers without reasoning"), "{stderr}");
    // The command does the same as the flag.
    let (by_flag, _) = thinker.talk("t5\n", &["--no-think"]);
    let (by_command, stderr) = thinker.talk("/think off\nt5\n/think on\n/reset\nt5\n/think\n", &[]);
    assert_eq!(by_command, format!("{by_flag}\n{}\n", thinker.answer), "{stderr}");
    assert!(stderr.contains("\nthe model reasons before it answers\n"), "{stderr}");
}

#[test]
fn a_template_without_a_switch_is_named() {
    let thinker = Thinker::new(&template(LEAVES_OUT, ""));
    let model = thinker.model();
    for flag in ["--think", "--no-think"] {
        let parts = ["chat template has no switch", "leave out", flag];
        refuses(&["-m", model, "--chat", "-p", "t5", flag], 1, &parts);
        refuses(&["-p", "t5", flag], 2, &[]);
    }
    refuses(&["--chat", "-p", "t5", "--think", "--no-think"], 2, &[]);
    let output = generate()
        .args(["-m", model, "--chat"])
        .write_stdin("/think on\n")
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && stderr.contains("error: the model's chat template has no switch"),
        "{stderr}"
    );
}

#[test]
fn a_terminal_shows_reasoning_dimmed() {
    let thinker = Thinker::new(&template(LEAVES_OUT, ""));
    let talk = |args: &[&str]| {
        let base = [
            "--chat",
            "--ignore-eos",
            "--no-history",
            "--temperature",
            "0",
            "-n",
            TOKENS,
            "-m",
            thinker.model(),
        ];
        let mut t = Terminal::generate(&[&base[..], args].concat(), thinker.copy.path(), &[], None);
        t.prompt();
        t.enter("t5");
        t.see(&thinker.answer);
        t.prompt();
        t.press(CTRL_D);
        assert_eq!(t.code(), Some(0), "{}", t.screen());
        t
    };
    let first = thinker.reasoning.split(' ').next().expect("a word");
    let t = talk(&[]);
    assert!(t.screen().contains(&format!("{}\n\n{}", thinker.reasoning, thinker.answer)), "{}", t.screen());
    assert!(!t.screen().contains("think>"), "{}", t.screen());
    assert!(t.raw.contains(&format!("\x1b[2m{first}\x1b[0m")), "{}", t.raw);
    assert!(!t.raw.contains(&format!("\x1b[2m{}", thinker.answer)), "{}", t.raw);
    let t = talk(&["--no-color"]);
    assert!(t.screen().contains(&thinker.reasoning) && !t.raw.contains("\x1b[2m"), "{}", t.raw);
    let t = talk(&["-q"]);
    assert!(!t.screen().contains(&thinker.reasoning), "{}", t.screen());
}
