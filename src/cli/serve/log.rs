//! What is printed of requests.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::args::LogForm;
use crate::cli::notice::say;
use crate::host::utc;
use crate::server::{Log, Record};

/// Where records go.
pub fn log(form: LogForm) -> Log {
    match form {
        LogForm::Lines => Box::new(|record| say(&line(record, SystemTime::now()))),
        LogForm::Json => Box::new(|record| say(&object(record, SystemTime::now()).to_string())),
        // What has gone wrong is no report of a request.
        LogForm::Off => Box::new(|record| {
            if record.what == "note" {
                say(&line(record, SystemTime::now()));
            }
        }),
    }
}

fn line(record: &Record, time: SystemTime) -> String {
    let mut line = format!("{} {}", utc(time), record.what);
    for (name, value) in &record.fields {
        match value {
            // Other texts could be taken for more fields.
            Value::String(text) if text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'=') => {
                line.push_str(&format!(" {name}={text}"));
            }
            other => line.push_str(&format!(" {name}={other}")),
        }
    }
    line
}

fn object(record: &Record, time: SystemTime) -> Value {
    let mut map =
        Map::from_iter([("time".to_owned(), json!(utc(time))), ("what".to_owned(), json!(record.what))]);
    map.extend(record.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line() {
        let fields = vec![("id", json!("a1")), ("path", json!("/v1/x y=\n\"")), ("ms", json!(3))];
        let record = Record { what: "request", fields };
        let text = line(&record, SystemTime::UNIX_EPOCH);
        assert_eq!(text, r#"1970-01-01T00:00:00.000Z request id=a1 path="/v1/x y=\n\"" ms=3"#);
        let text = object(&record, SystemTime::UNIX_EPOCH).to_string();
        assert!(
            text.starts_with(r#"{"time":"1970-01-01T00:00:00.000Z","what":"request","id":"a1","#),
            "{text}"
        );
        assert!(!text.contains('\n'));
    }
}
