//! Which server a path belongs to, and how that one says that something is wrong.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::refusal::{Kind, Refusal};

/// A way to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    OpenAi,
    Anthropic,
    Ollama,
    LlamaCpp,
}

impl Dialect {
    /// Whose a path is, whether there is anything or not.
    pub fn of_path(path: &str) -> Self {
        match path {
            _ if path.starts_with("/v1/messages") => Self::Anthropic,
            _ if path.starts_with("/v1/") => Self::OpenAi,
            _ if path.starts_with("/api/") => Self::Ollama,
            _ => Self::LlamaCpp,
        }
    }

    /// The status that it has for a refusal.
    fn status(self, refusal: &Refusal) -> StatusCode {
        match (self, refusal.kind) {
            (Self::Anthropic, Kind::Busy) => {
                StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
            }
            (Self::Ollama, Kind::Busy) => StatusCode::SERVICE_UNAVAILABLE,
            _ => refusal.status(),
        }
    }

    /// The body that it has for a refusal.
    pub fn error(self, refusal: &Refusal) -> Value {
        let Refusal { kind, message, field, .. } = refusal;
        match self {
            Self::OpenAi => {
                let code = match kind {
                    Kind::TooLong { .. } => json!("context_length_exceeded"),
                    Kind::Key => json!("invalid_api_key"),
                    Kind::NotFound if field.as_deref() == Some("model") => json!("model_not_found"),
                    _ => Value::Null,
                };
                json!({ "error": { "message": message, "type": word(*kind), "param": field, "code": code } })
            }
            Self::LlamaCpp => {
                let code = self.status(refusal).as_u16();
                let mut error = json!({ "code": code, "message": message, "type": word(*kind) });
                if let Kind::TooLong { tokens, context } = kind {
                    error["type"] = json!("exceed_context_size_error");
                    error["n_prompt_tokens"] = json!(tokens);
                    error["n_ctx"] = json!(context);
                }
                json!({ "error": error })
            }
            Self::Ollama => json!({ "error": message }),
            Self::Anthropic => {
                let kind = match kind {
                    Kind::Invalid | Kind::TooLong { .. } | Kind::Method | Kind::TooSlow | Kind::Conflict => {
                        "invalid_request_error"
                    }
                    Kind::Key => "authentication_error",
                    Kind::Origin | Kind::NotAllowed => "permission_error",
                    Kind::NotFound | Kind::Off => "not_found_error",
                    Kind::TooLarge => "request_too_large",
                    Kind::Busy | Kind::Unavailable => "overloaded_error",
                    Kind::Failed | Kind::Elsewhere => "api_error",
                };
                json!({ "type": "error", "error": { "type": kind, "message": message } })
            }
        }
    }

    /// The whole response for a refusal.
    pub fn refuse(self, refusal: &Refusal) -> Response {
        let mut response = json_response(self.status(refusal), &self.error(refusal));
        if let Some(seconds) = refusal.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A response of one value.
pub(super) fn json_response(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A value as the answer to a request.
pub(super) fn answer(value: &Value) -> Response {
    json_response(StatusCode::OK, value)
}

/// OpenAI's and llama.cpp's words.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Invalid
        | Kind::TooLong { .. }
        | Kind::Method
        | Kind::TooLarge
        | Kind::TooSlow
        | Kind::Conflict => "invalid_request_error",
        Kind::Key => "authentication_error",
        Kind::Origin | Kind::NotAllowed => "permission_error",
        Kind::NotFound => "not_found_error",
        Kind::Off => "not_supported_error",
        Kind::Busy => "rate_limit_exceeded",
        Kind::Unavailable => "unavailable_error",
        Kind::Failed | Kind::Elsewhere => "server_error",
    }
}
