//! Models that come and go: `/api/pull`, `/api/copy`, `/api/delete`.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, channel};

use crate::server::dialect::{Dialect, answer};
use crate::server::fields::Fields;
use crate::server::library::{self, Progress};
use crate::server::refusal::{Kind, Refusal};
use crate::server::router::Call;

/// Lines that wait for a slow reader.
const WAITING: usize = 64;

/// The name of a model, in its newer field or the older one.
fn model(fields: &mut Fields) -> Result<String, Refusal> {
    let name = fields.text("model")?;
    let older = fields.text("name")?;
    fields.required("model", name.or(older))
}

/// `POST /api/pull`.
pub(in crate::server) async fn pull(call: Call) -> Result<Response, Refusal> {
    let mut fields = Fields::of_body(&call.body)?;
    let name = model(&mut fields)?;
    let stream = fields.flag("stream")?.unwrap_or(true);
    // Whoever starts the server says which hub it is.
    fields.neutral("insecure", &[json!(false)])?;
    fields.done()?;
    call.shared.check_ready()?;
    let fetching = library::begin(&call.shared, &name)?;
    let (sender, mut receiver) = channel(WAITING);
    std::thread::Builder::new()
        .name("pull".into())
        .spawn(move || fetching.run(&sender))
        .map_err(|error| Refusal::new(Kind::Failed, format!("no thread for the pull: {error}")))?;
    if stream {
        return Ok(lines(receiver));
    }
    while let Some(progress) = receiver.recv().await {
        if let Progress::Ended(ended) = progress {
            return ended.map(|()| answer(&json!({ "status": "success" })));
        }
    }
    Err(Refusal::new(Kind::Failed, "the pull has failed"))
}

/// What a pull says, in a line or two.
fn line(progress: Progress) -> Vec<Value> {
    let status = |status: &str| json!({ "status": status });
    match progress {
        Progress::Listing => vec![status("pulling manifest")],
        Progress::File { id, done, total } => {
            let kind = if id.len() == 64 { "sha256" } else { "sha1" };
            let short = &id[..id.len().min(12)];
            vec![json!({
                "status": format!("pulling {short}"), "digest": format!("{kind}:{id}"), "total": total, "completed": done,
            })]
        }
        Progress::Verified => vec![status("verifying sha256 digest"), status("writing manifest")],
        Progress::Ended(Ok(())) => vec![status("success")],
        Progress::Ended(Err(refusal)) => vec![Dialect::Ollama.error(&refusal)],
    }
}

/// The response that carries them; when its reader goes, the pull ends.
fn lines(receiver: Receiver<Progress>) -> Response {
    let messages = unfold(receiver, |mut receiver| async move {
        let progress = receiver.recv().await?;
        let text: String = line(progress).iter().map(|value| format!("{value}\n")).collect();
        Some((Ok::<_, Infallible>(text), receiver))
    });
    let mut response = Response::new(Body::from_stream(messages));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// `POST /api/copy`.
pub(in crate::server) async fn copy(call: Call) -> Result<Response, Refusal> {
    let mut fields = Fields::of_body(&call.body)?;
    let source = fields.text("source")?;
    let source = fields.required("source", source)?;
    let destination = fields.text("destination")?;
    let destination = fields.required("destination", destination)?;
    fields.done()?;
    library::copy(&call.shared, &source, &destination)?;
    Ok(Response::new(Body::empty()))
}

/// `DELETE /api/delete`.
pub(in crate::server) async fn delete(call: Call) -> Result<Response, Refusal> {
    let mut fields = Fields::of_body(&call.body)?;
    let name = model(&mut fields)?;
    fields.done()?;
    let shared = Arc::clone(&call.shared);
    library::delete(&shared, &name).await?;
    Ok(Response::new(Body::empty()))
}

/// What Ollama has for models of one's own making.
fn refuse(path: &str, instead: &str) -> Result<Response, Refusal> {
    Err(Refusal::new(Kind::NotFound, format!("{path} is not supported by this server; {instead}")))
}

/// `POST /api/create`.
pub(in crate::server) async fn create(_call: Call) -> Result<Response, Refusal> {
    refuse(
        "/api/create",
        "give system prompts and parameters with each request, and quantize files with quantize",
    )
}

/// `POST /api/push`.
pub(in crate::server) async fn push(_call: Call) -> Result<Response, Refusal> {
    refuse("/api/push", "it sends no model anywhere")
}

/// `/api/blobs/DIGEST`.
pub(in crate::server) async fn blobs(_call: Call) -> Result<Response, Refusal> {
    refuse("/api/blobs", "fetch models with /api/pull, or put their files into its directory of models")
}
