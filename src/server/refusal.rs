//! Why a request is not answered.

use axum::http::StatusCode;

use crate::engine::EngineError;

/// What kind of mistake it is. Each dialect has its own word and number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something in the request cannot be.
    Invalid,
    /// The prompt has more tokens than fit.
    TooLong { tokens: usize, context: usize },
    /// The key is missing or wrong.
    Key,
    /// A web page that may not ask.
    Origin,
    /// What this server was not started for.
    NotAllowed,
    /// It does not go with what is in progress.
    Conflict,
    /// Another server that this one asks does not answer as it should.
    Elsewhere,
    /// There is no such path or model.
    NotFound,
    /// The path is for another method.
    Method,
    /// Something that this server was started without, or does not have at all.
    Off,
    /// The body is too long.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// Too many texts wait already.
    Busy,
    /// The model is not loaded yet, or the server ends.
    Unavailable,
    /// Something went wrong here.
    Failed,
}

/// A request that is not answered, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub kind: Kind,
    /// One sentence.
    pub message: String,
    /// The field of the body that it is about.
    pub field: Option<String>,
    /// Seconds after which it may go better.
    pub retry_after: Option<u64>,
}

impl Refusal {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), field: None, retry_after: None }
    }

    /// About a field of the body.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(Kind::Invalid, message) }
    }

    /// About a field that this server does not have.
    pub fn unsupported(field: &str, why: &str) -> Self {
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        Self::field(field, format!("'{field}' is not supported by this server{why}"))
    }

    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The status that most dialects have for it.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            Kind::Invalid | Kind::TooLong { .. } => StatusCode::BAD_REQUEST,
            Kind::Key => StatusCode::UNAUTHORIZED,
            Kind::Origin | Kind::NotAllowed => StatusCode::FORBIDDEN,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Elsewhere => StatusCode::BAD_GATEWAY,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Method => StatusCode::METHOD_NOT_ALLOWED,
            Kind::Off => StatusCode::NOT_IMPLEMENTED,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Kind::Busy => StatusCode::TOO_MANY_REQUESTS,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<EngineError> for Refusal {
    /// What is wrong with a text is the asker's to put right; all else is not.
    fn from(error: EngineError) -> Self {
        if let EngineError::PromptTooLong { tokens, max: context } = error {
            let message = format!(
                "the prompt has {tokens} tokens, which exceeds the available context size of {context}; shorten it, or \
                 start the server with a larger --max-seq-len"
            );
            return Self::new(Kind::TooLong { tokens, context }, message);
        }
        if let EngineError::TextTooLong { .. } = error {
            return Self::new(Kind::Invalid, format!("{error} (--prefill-chunk)"));
        }
        let kind = match error {
            EngineError::EmptyPrompt
            | EngineError::UnknownToken { .. }
            | EngineError::Chat(_)
            | EngineError::NotCausal
            | EngineError::Recommended { .. }
            | EngineError::Sampling(crate::sampling::SamplingError::BadParam { .. })
            | EngineError::Mask(_)
            | EngineError::Tokenizer(_) => Kind::Invalid,
            _ => Kind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}
