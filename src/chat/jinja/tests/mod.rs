//! Expressions and statements with the results of Python's Jinja, set up as in `transformers`
//! (`scripts/make_template_cases.py` writes them), and templates that mean harm.

mod hostile;

use serde_json::{Map, Value};

use super::{Date, Kind, Template};

const CASES: &str = include_str!("cases.json");

fn outcome(source: &str, variables: &Map<String, Value>) -> (&'static str, String) {
    let variables: Vec<(&str, Value)> = variables.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    let date = Date::new(2026, 1, 31).unwrap();
    match Template::parse(source).and_then(|template| template.render(&variables, date)) {
        Ok(text) => ("text", text),
        Err(fault) if fault.kind == Kind::Raised => ("raised", fault.what),
        Err(fault) => ("refused", fault.what),
    }
}

#[test]
fn templates_give_what_python_gives() {
    let file: Value = serde_json::from_str(CASES).unwrap();
    let (variables, cases) = (file["variables"].as_object().unwrap(), file["cases"].as_array().unwrap());
    assert!(cases.len() > 100);
    let mut differ = Vec::new();
    for case in cases {
        let source = case["source"].as_str().unwrap();
        let (kind, got) = outcome(source, variables);
        let same = match kind {
            "refused" => case.get("refused").is_some(),
            kind => case.get(kind).and_then(Value::as_str) == Some(&got),
        };
        if !same {
            differ.push(format!("{source:?}\n  gives {kind} {got:?},\n  not {case}"));
        }
    }
    assert!(differ.is_empty(), "{} of {}:\n{}", differ.len(), cases.len(), differ.join("\n"));
}

#[test]
fn errors_name_the_line_and_what_is_wrong() {
    for (source, line, what) in [
        ("a\n{% if x %}", 2, "'{% endif %}'"),
        ("{{ }}", 1, "expected an expression, found '}}'"),
        ("\n\n{% nonesuch %}", 3, "unknown tag 'nonesuch'"),
        ("\n{{ x|nofilter }}", 2, "there is no filter 'nofilter'"),
        ("{{ x is notest }}", 1, "there is no test 'notest'"),
        ("a\n{{ a.b.c }}", 2, "'a' is undefined"),
        ("\n{{ {}.b.c }}", 2, "'dict object' has no attribute 'b'"),
        ("{{ 'a' + 1 }}", 1, "can only concatenate str"),
        ("{{ [].append(1) }}", 1, "access to attribute 'append' of 'list' object is unsafe"),
    ] {
        let date = Date::new(2026, 1, 31).unwrap();
        let fault = Template::parse(source).and_then(|t| t.render(&[], date)).unwrap_err();
        assert_eq!(fault.line, Some(line), "{source}: {fault:?}");
        assert!(fault.what.contains(what), "{source}: {fault:?}");
    }
}

#[test]
fn dates_are_written_as_in_python() {
    // Python's strftime("%j %U %W %V %G %u %w %a") of these days.
    for (day, expected) in [
        ("2026-01-31", "031 04 04 05 2026 6 6 Sat"),
        ("2024-12-30", "365 52 53 01 2025 1 1 Mon"),
        ("2021-01-03", "003 01 00 53 2020 7 0 Sun"),
        ("2024-02-29", "060 08 09 09 2024 4 4 Thu"),
        ("2000-01-01", "001 00 00 52 1999 6 6 Sat"),
    ] {
        let date: Date = day.parse().unwrap();
        let template = Template::parse("{{ strftime_now('%j %U %W %V %G %u %w %a') }}").unwrap();
        assert_eq!(template.render(&[], date).unwrap(), expected, "{day}");
    }
}
