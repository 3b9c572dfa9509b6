//! The JSON Schema Test Suite: of each schema that is followed, every valid instance is a text of the grammar and no invalid
//! one is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Number, Value};

use crate::grammar::tests::{accepts, bytes, note};
use crate::sampling::Constraint;

/// The draft that schemas without another mark are in.
const DRAFT: &str = "json/tests/draft2020-12";

/// Texts of an instance that are tried at most.
const MOST_TEXTS: usize = 2000;

/// Instances that are valid by the suite and no texts here, and why.
const STRICTER: [(&str, &str); 3] = [
    ("format: ", "a format is followed, and not a note alone"),
    ("vocabulary: ", "schemas of schemas are not read"),
    ("const: \"float and integers are equal up to 64-bit", "a whole number is written without a fraction"),
];

fn suite(test: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/json-schema-test-suite");
    let dir = std::env::var_os("JSON_SCHEMA_TEST_SUITE").map_or(own, PathBuf::from).join(DRAFT);
    if !dir.exists() {
        let why = "the JSON Schema Test Suite is absent; scripts/install_test_tools.sh brings it";
        crate::skip::skipped(test, why);
        return None;
    }
    Some(dir)
}

/// Ways to write a value: a grammar has the properties of an object in the order of its schema, and may know a whole number
/// only without a fraction.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Number(number) => {
            let mut all = vec![number.to_string()];
            if let Some(whole) =
                number.as_f64().filter(|x| number.is_f64() && x.fract() == 0.0 && x.abs() < 1e15)
            {
                all.push(Number::from(whole as i64).to_string());
            }
            all
        }
        Value::Array(items) => {
            let parts: Vec<Vec<String>> = items.iter().map(texts).collect();
            product(&parts).into_iter().map(|parts| format!("[{}]", parts.join(","))).collect()
        }
        Value::Object(map) => {
            let mut all = Vec::new();
            for order in orders(map.len()) {
                let members: Vec<(&String, &Value)> = map.iter().collect();
                let parts: Vec<Vec<String>> = order
                    .iter()
                    .map(|&at| {
                        let (name, value) = members[at];
                        let name = Value::from(name.as_str());
                        texts(value).into_iter().map(|text| format!("{name}: {text}")).collect()
                    })
                    .collect();
                all.extend(product(&parts).into_iter().map(|parts| format!("{{{}}}", parts.join(", "))));
                if all.len() > MOST_TEXTS {
                    break;
                }
            }
            all
        }
        other => vec![other.to_string()],
    }
}

fn product(parts: &[Vec<String>]) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    for part in parts {
        all = all
            .iter()
            .flat_map(|begun| part.iter().map(|text| [begun.as_slice(), std::slice::from_ref(text)].concat()))
            .collect();
        all.truncate(MOST_TEXTS);
    }
    all
}

fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    if n > 6 {
        return vec![(0..n).collect()];
    }
    let shorter = orders(n - 1);
    let insert = |order: &Vec<usize>| {
        let order = order.clone();
        (0..n).map(move |at| {
            let mut order = order.clone();
            order.insert(at, n - 1);
            order
        })
    };
    shorter.iter().flat_map(insert).collect()
}

#[test]
fn the_test_suite_agrees() {
    let Some(dir) = suite("the_test_suite_agrees") else { return };
    let grammars = bytes();
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    let (mut followed, mut instances, mut wrong) = (0, 0, Vec::new());
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let file = path.file_stem().unwrap().to_str().unwrap();
        let groups: Vec<Map<String, Value>> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for group in groups {
            let matcher = match grammars.matcher(&Constraint::JsonSchema(group["schema"].clone())) {
                Ok(matcher) => matcher,
                Err(error) => {
                    assert!(error.0.contains("schema"), "{error}");
                    let keyword = error.0.split('\'').nth(2).filter(|_| error.0.contains("keyword"));
                    let reason = keyword.map_or_else(|| error.0.clone(), |keyword| format!("'{keyword}'"));
                    *refused.entry(reason).or_default() += 1;
                    continue;
                }
            };
            followed += 1;
            for test in group["tests"].as_array().unwrap() {
                instances += 1;
                let found = texts(&test["data"]).iter().any(|text| accepts(&matcher, text));
                let name = format!("{file}: {}: {}", group["description"], test["description"]);
                let stricter = !found && STRICTER.iter().any(|(known, _)| name.starts_with(known));
                if test["valid"] != found && !stricter {
                    wrong.push(format!(
                        "{name}: {} is {}",
                        test["data"],
                        if found { "a text" } else { "none" }
                    ));
                }
            }
        }
    }
    note(&format!("{followed} schemas with {instances} instances are followed; refused: {refused:#?}"));
    assert!(followed > 100 && instances > 400, "{followed} {instances}");
    assert!(wrong.is_empty(), "{}: {wrong:#?}", wrong.len());
}
