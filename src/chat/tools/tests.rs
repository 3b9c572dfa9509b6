//! Calls as models of each family write them, whole and in pieces.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Form, Tool, ToolEvent, ToolParser};

/// What a template of each form has in its source.
const HERMES: &str = "<tool_call></tool_call> arguments";
const CODER: &str = "<tool_call> <function= <parameter=";
const LLAMA: &str = "Respond in the format {\"name\": function name, \"parameters\": dictionary}";
const MISTRAL: &str = "[TOOL_CALLS] [ARGS]";
const GEMMA: &str = "'<|tool_call>call:'";
const OSS: &str = "<|channel|>commentary <|message|>";
const LFM: &str = "List of tools: [";
const GRANITE: &str = "available_tools <|tool_call|>";
const COHERE: &str = "<|START_ACTION|> tool_call_id";
const ALL: [&str; 9] = [HERMES, CODER, LLAMA, MISTRAL, GEMMA, OSS, LFM, GRANITE, COHERE];

fn tools() -> Arc<[Tool]> {
    let tool = |name: &str, properties: Value| Tool {
        name: name.into(),
        description: String::new(),
        parameters: json!({ "type": "object", "properties": properties }),
        strict: false,
    };
    let weather =
        json!({ "city": { "type": "string" }, "days": { "type": "integer" }, "at": { "type": ["string"] } });
    [tool("get_weather", weather), tool("now", json!({}))].into()
}

/// An answer taken apart, with what belongs together in one: text as T, reasoning as R, calls as C with name and arguments,
/// what broke as B.
#[derive(Debug, Default, PartialEq)]
struct Read {
    parts: Vec<(char, String, String)>,
    ids: Vec<String>,
}

impl Read {
    fn add(&mut self, event: ToolEvent) {
        match event {
            ToolEvent::Text(text) => self.say('T', &text),
            ToolEvent::Reasoning(text) => self.say('R', &text),
            ToolEvent::Begun { index, id, name } => {
                assert_eq!(index, self.ids.len());
                self.ids.push(id);
                self.parts.push(('C', name, String::new()));
            }
            ToolEvent::Arguments { index, delta } => {
                assert_eq!(index + 1, self.ids.len());
                let (kind, _, arguments) = self.parts.last_mut().unwrap();
                assert_eq!(*kind, 'C');
                arguments.push_str(&delta);
            }
            ToolEvent::Broken { index, raw } => {
                assert_eq!(index + 1, self.ids.len());
                self.parts.push(('B', String::new(), raw));
            }
        }
    }

    fn say(&mut self, kind: char, text: &str) {
        assert!(!text.is_empty());
        match self.parts.last_mut() {
            Some((before, _, said)) if *before == kind => said.push_str(text),
            _ => self.parts.push((kind, String::new(), text.to_owned())),
        }
    }
}

fn parser(source: &str, most: usize) -> ToolParser {
    ToolParser::new(Form::of_template(source).unwrap(), tools(), most, 7)
}

fn read(source: &str, pieces: &[&str]) -> Read {
    let mut parser = parser(source, usize::MAX);
    let mut read = Read::default();
    for piece in pieces {
        parser.push(piece).into_iter().for_each(|event| read.add(event));
    }
    parser.finish().into_iter().for_each(|event| read.add(event));
    read
}

/// The parts of an answer, which have to be the same for whole answers and for single characters.
#[track_caller]
fn check(source: &str, text: &str, expected: &[(char, &str, &str)]) {
    let whole = read(source, &[text]);
    let mut bytes = [0; 4];
    let single: Vec<String> = text.chars().map(|c| c.encode_utf8(&mut bytes).to_owned()).collect();
    let single: Vec<&str> = single.iter().map(String::as_str).collect();
    assert_eq!(whole, read(source, &single), "{text:?}");
    let parts: Vec<_> =
        whole.parts.iter().map(|(kind, name, text)| (*kind, name.as_str(), text.as_str())).collect();
    assert_eq!(parts, expected, "{text:?}");
    for (kind, _, arguments) in &whole.parts {
        let broken = whole.parts.iter().any(|(kind, ..)| *kind == 'B');
        assert!(*kind != 'C' || broken || serde_json::from_str::<Value>(arguments).unwrap().is_object());
    }
}

#[test]
fn hermes() {
    let call = |text: &str| format!("<tool_call>\n{text}\n</tool_call>");
    let paris = r#"{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}"#;
    let arguments = r#"{"city": "Paris", "days": 2}"#;
    check(HERMES, &call(paris), &[('C', "get_weather", arguments)]);
    let two = format!("I will look.\n\n{}\n{}\n", call(paris), call(r#"{"name": "now", "arguments": {}}"#));
    check(HERMES, &two, &[('T', "", "I will look."), ('C', "get_weather", arguments), ('C', "now", "{}")]);
    // Arguments first, as a text, or none; ids and other keys; the end of the marker may be missing.
    check(
        HERMES,
        &call(r#"{"arguments": {"city": "x"}, "name": "now"}"#),
        &[('C', "now", r#"{"city": "x"}"#)],
    );
    check(HERMES, &call(r#"{"name": "now", "arguments": "{\"a\": 1}"}"#), &[('C', "now", r#"{"a": 1}"#)]);
    check(
        HERMES,
        &call(r#"{"type": "function", "x": [1, {"y": 2.5}], "name": "now"}"#),
        &[('C', "now", "{}")],
    );
    check(HERMES, &format!("<tool_call>{paris}"), &[('C', "get_weather", arguments)]);
    check(HERMES, &format!("<tool_call>{paris}</tool_c"), &[('C', "get_weather", arguments)]);
    check(HERMES, &format!("{}So.", call(paris)), &[('C', "get_weather", arguments), ('T', "", "So.")]);
    // Line breaks in texts are written as JSON has them.
    check(
        HERMES,
        &call("{\"name\": \"now\", \"arguments\": {\"a\": \"x\ny\tz\"}}"),
        &[('C', "now", r#"{"a": "x\ny\tz"}"#)],
    );
    // Two in one marker.
    check(HERMES, &call(&format!("{paris}\n{paris}")), &[('C', "get_weather", arguments); 2]);
}

#[test]
fn what_only_looks_like_a_call_is_text() {
    for text in [
        "no call <tool_call",
        "<tool_call>",
        "<tool_call>\n",
        " <tool_call> is a tag",
        "<tool_call>{\"name\"",
        "<tool_call>{\"name\": 3}</tool_call>",
        "<tool_call>{\"arguments\": {}}</tool_call>",
        "<tool_call>{'name': 'now'}</tool_call>",
        "<tool_call>{\"name\": \"a b\", \"arguments\": {}}",
        "<tool_call>{\"name\": \"now\", \"arguments\": [1]}</tool_call>",
        "x <tool_call> y ",
    ] {
        check(HERMES, text, &[('T', "", text)]);
    }
    // After a marker that is none there may be one.
    check(
        HERMES,
        "<tool_call> no, <tool_call>{\"name\": \"now\"}",
        &[('T', "", "<tool_call> no,"), ('C', "now", "{}")],
    );
    // What broke when it had begun.
    let raw = "<tool_call>{\"name\": \"now\", \"arguments\": {\"a\": ";
    check(
        HERMES,
        &format!("a {raw}x}} b"),
        &[('T', "", "a"), ('C', "now", "{\"a\": "), ('B', "", &format!(" {raw}x")), ('T', "", "} b")],
    );
    check(HERMES, raw, &[('C', "now", "{\"a\": "), ('B', "", raw)]);
    // Complete, but no object of this size.
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(90), "]".repeat(90));
    check(
        HERMES,
        &format!("<tool_call>{{\"name\": \"now\", \"arguments\": {deep}}}"),
        &[('C', "now", &deep)],
    );
}

#[test]
fn llama() {
    let call = r#"{"name": "get_weather", "parameters": {"city": "Paris"}}"#;
    let expected = [('C', "get_weather", r#"{"city": "Paris"}"#)];
    check(LLAMA, call, &expected);
    check(LLAMA, &format!("\n\n<|python_tag|>{call}"), &expected);
    check(LLAMA, &format!("{{\"type\": \"function\", {}", &call[1..]), &expected);
    check(LLAMA, &format!("{call}; {call}"), &[expected[0]; 2]);
    check(LLAMA, &format!("Sure.<|python_tag|>{call}"), &[('T', "", "Sure."), expected[0]]);
    // JSON that was asked for, functions that there are not, code.
    for text in [
        r#"{"name": "Paris", "parameters": {}}"#,
        r#"{"city": "Paris"}"#,
        r#"{"name": "now"}"#,
        "Use {\"name\": \"now\", \"parameters\": {}}",
        "<|python_tag|>print(1)",
        "{",
        "",
    ] {
        let expected = [('T', "", text)];
        check(LLAMA, text, if text.is_empty() { &[] } else { &expected });
    }
}

#[test]
fn mistral() {
    let (city, empty) = (r#"{"city": "Paris"}"#, "{}");
    let list = format!(
        r#"[TOOL_CALLS][{{"name": "get_weather", "id": "abcDEF123", "arguments": {city}}}, {{"name": "now", "arguments": {{}}}}]"#
    );
    check(MISTRAL, &list, &[('C', "get_weather", city), ('C', "now", empty)]);
    let ids = read(MISTRAL, &[&list]).ids;
    assert_eq!(ids[0], "abcDEF123");
    assert!(ids[1].len() == 9 && ids[1].bytes().all(|b| b.is_ascii_alphanumeric()), "{ids:?}");
    check(MISTRAL, &format!("[TOOL_CALLS]get_weather[ARGS]{city}"), &[('C', "get_weather", city)]);
    let two = format!("So: [TOOL_CALLS]get_weather[CALL_ID]xyzXYZ789[ARGS]{city}[TOOL_CALLS]now[ARGS]{{}}");
    check(MISTRAL, &two, &[('T', "", "So:"), ('C', "get_weather", city), ('C', "now", empty)]);
    assert_eq!(read(MISTRAL, &[&two]).ids[0], "xyzXYZ789");
    check(MISTRAL, &format!("[TOOL_CALLS]now{city}"), &[('C', "now", city)]);
    for text in [
        "[TOOL_CALLS]",
        "[TOOL_CALLS]now",
        "[TOOL_CALLS]now[ARGS]x",
        "[TOOL_CALLS]a b[ARGS]{}",
        "[TOOL",
        "[TOOL_CALLS]now[AR",
    ] {
        check(MISTRAL, text, &[('T', "", text)]);
    }
}

#[test]
fn tags() {
    let call = "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n2\n</parameter>\n\
                </function>\n</tool_call>";
    let expected = [('C', "get_weather", r#"{"city": "Paris", "days": 2}"#)];
    check(CODER, call, &expected);
    check(
        CODER,
        &format!("Let me see.\n\n{call}\n{call}"),
        &[('T', "", "Let me see."), expected[0], expected[0]],
    );
    // The outer marker is forgotten at times.
    check(CODER, "<function=now>\n</function>\n</tool_call>", &[('C', "now", "{}")]);
    // A text that looks like a number, and code that has tags in it.
    let code = "<tool_call><function=get_weather><parameter=city>12</parameter><parameter=at>\na\n</parameter> b\n\n</parameter>\
                <parameter=x>[1, true]</parameter><parameter=y>so\nit is</parameter></function></tool_call>";
    let arguments = r#"{"city": "12", "at": "a\n</parameter> b\n", "x": [1,true], "y": "so\nit is"}"#;
    check(CODER, code, &[('C', "get_weather", arguments)]);
    for text in ["<tool_call>\n<function=", "<tool_call>{\"name\": 1}", "<function=a b>", "<tool_call> <fun"]
    {
        check(CODER, text, &[('T', "", text)]);
    }
    let raw = "<function=now><parameter=x>1</para";
    check(CODER, raw, &[('C', "now", ""), ('B', "", raw)]);
}

#[test]
fn gemma() {
    let call = "<|tool_call>call:get_weather{city:<|\"|>Paris, {\"x\"}<|\"|>,days:2,list:[1,<|\"|>a<|\"|>,{k:true}],n:None}<tool_call|>";
    let arguments = r#"{"city":"Paris, {\"x\"}","days":2,"list":[1,"a",{"k":true}],"n":null}"#;
    check(GEMMA, call, &[('C', "get_weather", arguments)]);
    check(
        GEMMA,
        "So.<|tool_call>call:now{}<tool_call|><|tool_call>call:now{}<tool_call|>",
        &[('T', "", "So."), ('C', "now", "{}"), ('C', "now", "{}")],
    );
    for text in [
        "<|tool_call>call:now",
        "<|tool_call>now{}",
        "<|tool_call>call:now{a}",
        "<|tool_call>call:now{a:<|\"|>}",
    ] {
        check(GEMMA, text, &[('T', "", text)]);
    }
}

#[test]
fn harmony() {
    let call = |text: &str| {
        format!("<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{text}")
    };
    let expected = ('C', "get_weather", r#"{"city":"Paris"}"#);
    check(OSS, &call(r#"{"city":"Paris"}"#), &[expected]);
    // After reasoning that was taken apart before.
    check(OSS, " to=functions.now<|channel|>commentary json<|message|>{}<|call|>", &[('C', "now", "{}")]);
    let text = format!(
        "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant{}",
        call(r#"{"city":"Paris"}"#)
    );
    check(OSS, &text, &[('T', "", "I look."), expected]);
    let text = format!(
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant{}<|call|>",
        call(r#"{"city":"Paris"}"#)
    );
    check(OSS, &text, &[('R', "", "Hm."), expected]);
    check(OSS, &call(""), &[('C', "get_weather", "{}")]);
    check(OSS, "It is warm.", &[('T', "", "It is warm.")]);
    check(OSS, "<|channel|>final<|message|>It is warm.<|return|>", &[('T', "", "It is warm.")]);
    for text in ["<|channel|>commentary to=python code<|message|>1", "<|channel|>comm", "to the point", "to="]
    {
        check(OSS, text, &[('T', "", text)]);
    }
    let raw = call("{\"city\":");
    check(OSS, &raw, &[('C', "get_weather", "{\"city\":"), ('B', "", &raw)]);
}

#[test]
fn python() {
    let call = "<|tool_call_start|>[get_weather(city=\"Paris (\\\"75\\\")\", days=2, f=-1.5), now()]<|tool_call_end|>Wait.";
    let arguments = r#"{"city":"Paris (\"75\")","days":2,"f":-1.5}"#;
    check(LFM, call, &[('C', "get_weather", arguments), ('C', "now", "{}"), ('T', "", "Wait.")]);
    let values =
        "<|tool_call_start|>[now(a='it\\'s', b=[1, 'x'], c={\"k\": True, 'l': None}, d=(1,), e=1e3)]";
    let arguments = r#"{"a":"it's","b":[1,"x"],"c":{"k":true,"l":null},"d":[1],"e":1000.0}"#;
    check(LFM, values, &[('C', "now", arguments)]);
    let json = r#"<|tool_call_start|>[{"name": "now", "arguments": {"a": 1}}]<|tool_call_end|>"#;
    check(LFM, json, &[('C', "now", r#"{"a": 1}"#)]);
    for text in [
        "<|tool_call_start|>[]",
        "<|tool_call_start|>[now(",
        "<|tool_call_start|>[now(1)]",
        "<|tool_call_start|>now()",
        "<|tool_call_start|>[a b()]",
        "<|tool_call_start|>[",
    ] {
        check(LFM, text, &[('T', "", text)]);
    }
}

#[test]
fn lists_of_json() {
    let list = r#"<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}, {"name": "now"}]"#;
    check(GRANITE, list, &[('C', "get_weather", r#"{"city": "Paris"}"#), ('C', "now", "{}")]);
    let list = "<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"now\", \"parameters\": {}}\n]<|END_ACTION|>";
    check(COHERE, list, &[('C', "now", "{}")]);
    assert_eq!(read(COHERE, &[list]).ids, ["0"]);
    check(GRANITE, "<|tool_call|>[]", &[('T', "", "<|tool_call|>[]")]);
}

#[test]
fn no_more_calls_than_are_wanted() {
    let call = "<tool_call>{\"name\": \"now\"}</tool_call>";
    let mut one = parser(HERMES, 1);
    let mut events = one.push(&call.repeat(2));
    events.extend(one.push("and so on"));
    events.extend(one.finish());
    assert_eq!(events.len(), 2, "{events:?}");
    let mut one = parser(OSS, 1);
    let call = "<|channel|>commentary to=functions.now json<|message|>{}<|call|><|start|>assistant";
    let mut events = one.push(&call.repeat(2));
    events.extend(one.finish());
    assert_eq!(events.len(), 2, "{events:?}");
}

#[test]
fn arguments_come_as_they_are_written() {
    let mut parser = parser(HERMES, usize::MAX);
    let mut push = |piece: &str| parser.push(piece);
    assert_eq!(push("Hm. \n<tool"), [ToolEvent::Text("Hm.".into())]);
    assert_eq!(push("_call>{\"name\": \"now\", \"arg"), []);
    let events = push("uments\": {\"a\": \"x");
    assert!(matches!(&events[0], ToolEvent::Begun { index: 0, name, .. } if name == "now"), "{events:?}");
    assert_eq!(events[1], ToolEvent::Arguments { index: 0, delta: "{\"a\": \"x".into() });
    assert_eq!(push("y"), [ToolEvent::Arguments { index: 0, delta: "y".into() }]);
    assert_eq!(push("\"}}</tool_call>"), [ToolEvent::Arguments { index: 0, delta: "\"}".into() }]);
}

/// Pieces of calls, right and wrong.
fn fragments() -> impl Strategy<Value = Vec<&'static str>> {
    let fragment = prop::sample::select(vec![
        "<tool_call>",
        "</tool_call>",
        "{\"name\": \"now\", ",
        "\"arguments\": ",
        "\"parameters\": ",
        "{}",
        "}",
        "{\"a\": 1}",
        "[",
        "]",
        ", ",
        "\"",
        "x",
        " ",
        "\n",
        "€",
        "<function=now>",
        "<parameter=a>",
        "</parameter>",
        "</function>",
        "[TOOL_CALLS]",
        "now",
        "[ARGS]",
        "<|tool_call>",
        "call:now",
        "{a:",
        "<|\"|>",
        "<tool_call|>",
        "<|channel|>",
        "commentary",
        " to=functions.now ",
        "<|message|>",
        "<|start|>assistant",
        "<|end|>",
        "<|call|>",
        "<|tool_call_start|>",
        "[now(",
        "a='b'",
        ")",
        "<|tool_call_end|>",
        "<|python_tag|>",
        "<|tool_call|>",
        "<",
        "{",
        ";",
        "[{\"name\": \"get_weather\", ",
    ]);
    prop::collection::vec(fragment, 0..14)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn cuts_change_nothing(
        form in 0..ALL.len(), parts in fragments(), cuts in prop::collection::vec(0usize..200, 0..10)
    ) {
        let text = parts.concat();
        let whole = read(ALL[form], &[&text]);
        let mut cuts: Vec<usize> =
            cuts.into_iter().filter(|&c| c <= text.len() && text.is_char_boundary(c)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&str> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
        prop_assert_eq!(&read(ALL[form], &pieces), &whole, "{:?}", pieces);
        // Without a call nothing is lost but the markers of messages.
        if whole.ids.is_empty() && ALL[form] != OSS {
            let said: String = whole.parts.iter().map(|(_, _, text)| text.as_str()).collect();
            prop_assert_eq!(said, text);
        }
    }
}
