//! An answer as it comes: server-sent events, or lines of JSON.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream::unfold;
use serde_json::Value;
use tokio::time::timeout;

use super::answer::{Answers, Step};

/// After so long without anything a comment shows that the connection lives.
const SILENCE: Duration = Duration::from_secs(15);

/// How a stream is cut into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Server-sent events.
    Events,
    /// A line each.
    Lines,
}

/// Messages that are to be sent.
pub(super) struct Out {
    form: Form,
    text: String,
}

impl Out {
    /// A message without a name.
    pub fn send(&mut self, value: &Value) {
        match self.form {
            Form::Events => self.text.push_str(&format!("data: {value}\n\n")),
            Form::Lines => self.text.push_str(&format!("{value}\n")),
        }
    }

    /// An event with a name.
    pub fn event(&mut self, name: &str, value: &Value) {
        self.text.push_str(&format!("event: {name}\n"));
        self.send(value);
    }

    /// A text that is no JSON, for the end of a stream of events.
    pub fn word(&mut self, word: &str) {
        self.text.push_str(&format!("data: {word}\n\n"));
    }
}

/// How a dialect writes what comes.
pub(super) trait Writer: Send + 'static {
    /// What happened to answer `index`.
    fn write(&mut self, index: usize, step: Step, out: &mut Out);

    /// After the end of all answers.
    fn end(&mut self, _out: &mut Out) {}
}

struct Flow<W> {
    answers: Answers,
    writer: W,
    ended: bool,
}

/// The response that carries the answers. When its reader goes the answers are dropped, and the model stops with them.
pub(super) fn respond(form: Form, answers: Answers, writer: impl Writer) -> Response {
    let flow = Flow { answers, writer, ended: false };
    let messages = unfold(flow, move |mut flow| async move {
        let mut out = Out { form, text: String::new() };
        while out.text.is_empty() && !flow.ended {
            match timeout(SILENCE, flow.answers.next()).await {
                Ok(Some((index, step))) => {
                    flow.ended = matches!(step, Step::Failed(_));
                    flow.writer.write(index, step, &mut out);
                }
                Ok(None) => {
                    flow.ended = true;
                    flow.writer.end(&mut out);
                }
                Err(_) if form == Form::Events => out.text.push_str(": the model is at work\n\n"),
                Err(_) => {}
            }
        }
        let text = std::mem::take(&mut out.text);
        (!text.is_empty()).then_some((Ok::<_, Infallible>(text), flow))
    });
    let mut response = Response::new(Body::from_stream(messages));
    let kind = match form {
        Form::Events => "text/event-stream; charset=utf-8",
        Form::Lines => "application/x-ndjson",
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
