//! Chat templates: where they come from, the date, conversations in JSON, `--print-prompt`, and templates that mean harm.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::models::Copy;
use super::program::{generate, raw, refuses};

fn path(copy: &Copy) -> &str {
    copy.path().to_str().expect("a plain path")
}

/// What `--print-prompt --json` gives.
fn prompt(args: &[&str], input: &str) -> Value {
    let output = generate()
        .args(["--print-prompt", "--json"])
        .args(args)
        .write_stdin(input)
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one object")
}

fn text(args: &[&str]) -> String {
    prompt(args, "")["text"].as_str().expect("a text").to_owned()
}

#[test]
fn a_prompt_is_printed_with_its_ids() {
    let copy = Copy::with_template();
    let model = path(&copy);
    let chat = prompt(&["-m", model, "--chat", "--system", "t20", "-p", "t5"], "");
    assert_eq!(chat["text"], "t9 t20 t8 t5 t7");
    let pieces: Vec<&str> = chat["tokens"]
        .as_array()
        .expect("tokens")
        .iter()
        .map(|t| t["piece"].as_str().expect("a text"))
        .collect();
    assert_eq!(pieces.concat().trim(), "t9 t20 t8 t5 t7");
    assert_eq!(chat["ids"].as_array().expect("ids").len(), pieces.len());
    let plain = prompt(&["-m", model, "-p", "t5 t6"], "");
    assert_eq!(plain["text"], "t5 t6");
    // For people: the text, the count, a line a token. No weights are needed.
    fs::write(copy.file("session"), "").expect("writable");
    let output = generate()
        .args(["-m", model, "--chat", "--print-prompt", "-p", "t5", "--session"])
        .arg(copy.file("session"))
        .output()
        .expect("the program starts");
    let page = String::from_utf8(output.stdout).expect("UTF-8");
    let lines: Vec<&str> = page.lines().collect();
    assert_eq!(lines[..3], ["t8 t5 t7", "", "3 tokens"], "{page}");
    assert!(lines.len() == 6 && lines[4].ends_with("\" t5\"") || lines[4].contains("t5"), "{page}");
    assert_eq!(fs::read(copy.file("session")).expect("readable"), b"", "nothing is saved");
}

#[test]
fn a_model_has_one_template_or_several() {
    let copy = Copy::new();
    let model = path(&copy);
    let chat = ["-m", model, "--chat", "-p", "t5"];
    let config = |value: Value| {
        fs::write(copy.file("tokenizer_config.json"), json!({ "chat_template": value }).to_string())
            .expect("writable");
    };
    let two = json!({ "tool_use": "t1", "rag": "t2" });
    let list = json!([{ "name": "tool_use", "template": "t1" }, { "name": "rag", "template": "t2" }]);
    for none in [two, list] {
        config(none);
        // Without a template nothing is missing.
        assert_eq!(text(&["-m", model, "-p", "t5"]), "t5");
        refuses(&chat, 1, &["several chat templates", "tool_use, rag", "--chat-template NAME"]);
        assert_eq!(text(&[&chat[..], &["--chat-template", "rag"]].concat()), "t2");
        refuses(
            &[&chat[..], &["--chat-template", "nonsuch"]].concat(),
            1,
            &["'nonsuch' is none of the model's chat templates (tool_use, rag)"],
        );
    }
    config(json!({ "default": "t3", "rag": "t2" }));
    assert_eq!(text(&chat), "t3");
    fs::create_dir(copy.file("additional_chat_templates")).expect("writable");
    fs::write(copy.file("additional_chat_templates/short.jinja"), "t4").expect("writable");
    assert_eq!(text(&[&chat[..], &["--chat-template", "short"]].concat()), "t4");
    // All of them come along into one file.
    let packed = copy.file("model.packed");
    let packed = packed.to_str().expect("a plain path");
    generate().args(["-m", model, "--pack-to", packed]).assert().success();
    let packed = ["-m", packed, "--chat", "-p", "t5", "--chat-template"];
    assert_eq!(text(&[&packed[..], &["short"]].concat()), "t4");
    assert_eq!(text(&[&packed[..], &["rag"]].concat()), "t2");
    fs::write(copy.file("chat_template.jinja"), "t6").expect("writable");
    assert_eq!(text(&chat), "t6");
    config(json!({ "default": 7 }));
    refuses(&chat, 1, &["tokenizer_config.json", "'default' is no text"]);
}

#[test]
fn the_date_is_todays_or_the_sessions_or_the_one_given() {
    let copy = Copy::new();
    let template = copy.file("date.jinja");
    fs::write(&template, "t{{ strftime_now('%d')|int }} {% for m in messages %}{{ m.content }} {% endfor %}")
        .expect("writable");
    let (model, template) = (path(&copy), template.to_str().expect("a plain path"));
    let chat = ["-m", model, "--chat", "--chat-template", template, "-p", "t5"];
    let today = Command::new("date").arg("+%d").output().expect("there is a date program").stdout;
    let today: u32 = String::from_utf8_lossy(&today).trim().parse().expect("a day");
    let now = prompt(&chat, "");
    // Midnight may come in between.
    let day: u32 = now["text"].as_str().and_then(|t| t[1..].split(' ').next()?.parse().ok()).expect("a day");
    assert!(day == today || day == today + 1 || day == 1, "{now}");
    let given = [&chat[..], &["--date", "2026-01-17"]].concat();
    assert_eq!(prompt(&given, "")["text"], "t17 t5 ");
    assert_eq!(prompt(&given, "")["date"], "2026-01-17");
    let session = copy.file("talk.session");
    let session = session.to_str().expect("a plain path");
    let kept = [&chat[..], &["--session", session]].concat();
    let output = generate().args(&kept).args(["--date", "2026-01-17", "-n", "2", "--json"]).output();
    let value: Value = serde_json::from_slice(&output.expect("it starts").stdout).expect("one object");
    assert_eq!(value["settings"]["date"], "2026-01-17");
    assert!(text(&kept).starts_with("t17 t5 "), "the conversation goes on with its date");
    assert!(text(&[&kept[..], &["--date", "2026-01-18"]].concat()).starts_with("t18 t5 "));
    for wrong in ["2026-02-30", "today", "2026-1-1", ""] {
        refuses(&["--chat", "-p", "x", "--date", wrong], 2, &["--date"]);
    }
    refuses(&["-p", "x", "--date", "2026-01-17"], 2, &[]);
}

#[test]
fn a_conversation_is_given_as_json() {
    let copy = Copy::with_template();
    let model = path(&copy);
    let file = copy.file("talk.json");
    let messages = json!([
        { "role": "system", "content": "t20" },
        { "role": "user", "content": "t5" },
        { "role": "assistant", "content": "t6" },
        { "role": "user", "content": "t11", "name": null },
    ]);
    fs::write(&file, messages.to_string()).expect("writable");
    let name = file.to_str().expect("a plain path");
    assert_eq!(text(&["-m", model, "--messages", name]), "t9 t20 t8 t5 t7 t6 t8 t11 t7");
    let whole = json!({ "messages": messages, "add_generation_prompt": false }).to_string();
    assert_eq!(prompt(&["-m", model, "--messages", "-"], &whole)["text"], "t9 t20 t8 t5 t7 t6 t8 t11 ");
    // The answer is that of the same prompt.
    let answer = |args: &[&str]| {
        let output =
            generate().args(["-m", model, "-n", "5", "--temperature", "0", "-q"]).args(args).output();
        String::from_utf8(output.expect("it starts").stdout).expect("UTF-8")
    };
    assert_eq!(answer(&["--messages", name]), answer(&["-p", "t9 t20 t8 t5 t7 t6 t8 t11 t7"]));
    fs::write(&file, "{\"messages\": [{\"content\": \"t5\"}]}").expect("writable");
    refuses(
        &["-m", model, "--messages", name],
        1,
        &["talk.json is no conversation", "message 1 has no 'role'"],
    );
    refuses(&["-m", model, "--messages", "/nowhere"], 1, &["/nowhere"]);
    refuses(&["--messages", name, "-p", "x"], 2, &[]);
}

#[test]
fn a_template_that_means_harm_is_refused_in_words() {
    let copy = Copy::new();
    let template = copy.file("bad.jinja");
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    for (source, says) in [
        ("{{ 'x' * 10000000000 }}", "is stopped: it takes more than"),
        (
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
            "it takes more than",
        ),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "calls itself too often"),
        (deep.as_str(), "nested more than"),
        ("{{ raise_exception('not\nthis') }}", "refuses these messages: not this"),
        (
            "{{ messages[0].nothing.more }}",
            "fails on these messages: 'dict object' has no attribute 'nothing' (line 1)",
        ),
    ] {
        fs::write(&template, source).expect("writable");
        let name = template.to_str().expect("a plain path");
        refuses(&["-m", path(&copy), "--chat", "--chat-template", name, "-p", "t5"], 1, &[says]);
    }
}

#[test]
fn real_templates_give_what_transformers_gives() {
    let test = "real_templates_give_what_transformers_gives";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(templates) = crate::skip::shared(test, "templates") else { return };
    if !Command::new("python3").args(["-c", "import jinja2"]).output().is_ok_and(|o| o.status.success()) {
        return crate::skip::skipped(test, "there is no python3 with jinja2");
    }
    let program = raw();
    let output = Command::new("python3")
        .args(["-B", "scripts/compare_templates.py", "--quick"])
        .arg(program.get_program())
        .arg(&templates)
        .current_dir(root)
        .output()
        .expect("python3 starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let _ = writeln!(std::io::stderr(), "{}", said.trim_end());
}
