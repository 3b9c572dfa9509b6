//! What can be asked: the paths, what answers them, and what `/openapi.json` says of them.

use std::future::Future;
use std::pin::Pin;

use axum::http::Method;
use axum::response::Response;

use super::openapi::Said::{Events, Json, Lines, Nothing, Text};
use super::openapi::{Described, answers, requests};
use super::refusal::Refusal;
use super::router::Call;
use super::{anthropic, embeddings, llama_cpp, metrics, ollama, openai, openapi, page};

/// What comes of a request.
pub(super) type Answering = Pin<Box<dyn Future<Output = Result<Response, Refusal>> + Send>>;

/// Paths with the same meaning, and what answers them.
pub(super) struct Route {
    pub method: Method,
    pub paths: &'static [&'static str],
    /// Whether they need no key.
    pub open: bool,
    pub handler: fn(Call) -> Answering,
    /// Nothing of what is refused by name, and of the page.
    pub described: Option<Described>,
}

/// A route: method, paths, handler; what the description says of it.
macro_rules! route {
    ($method:ident $paths:expr, $handler:path) => {{
        let handler = |call| -> Answering { Box::pin($handler(call)) };
        Route { method: Method::$method, paths: &$paths, open: false, handler, described: None }
    }};
    ($method:ident $paths:expr, $handler:path, $about:literal, $said:expr) => {{
        let described = Some(Described { about: $about, request: None, said: $said });
        Route { described, ..route!($method $paths, $handler) }
    }};
    ($method:ident $paths:expr, $handler:path, $about:literal, $request:path, $said:expr) => {{
        let described = Some(Described { about: $about, request: Some($request), said: $said });
        Route { described, ..route!($method $paths, $handler) }
    }};
}

/// What belongs to the page.
pub(super) fn page_routes() -> Vec<Route> {
    vec![
        Route { open: true, ..route!(GET["/"], page::page) },
        Route { open: true, ..route!(GET["/favicon.ico"], page::icon) },
    ]
}

/// What other servers have, and this one refuses by name.
pub(super) fn refusing_routes() -> Vec<Route> {
    vec![
        route!(POST ["/rerank", "/reranking", "/v1/rerank", "/v1/reranking"], embeddings::rerank),
        route!(POST["/slots/{id}"], llama_cpp::slot),
        route!(POST["/api/create"], ollama::create),
        route!(POST["/api/push"], ollama::push),
        route!(HEAD["/api/blobs/{*digest}"], ollama::blobs),
        route!(POST["/api/blobs/{*digest}"], ollama::blobs),
    ]
}

/// All else. Each of these is described.
#[rustfmt::skip]
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route {
            open: true,
            ..route!(GET ["/health", "/v1/health"], llama_cpp::health,
                "Whether the model is loaded.", Json(answers::health))
        },
        route!(GET ["/metrics"], metrics::metrics,
            "Numbers for Prometheus.", Text("application/openmetrics-text")),
        route!(GET ["/openapi.json"], openapi::openapi,
            "This description.", Json(answers::document)),
        route!(GET ["/props"], llama_cpp::props,
            "What the server has by itself.", Json(answers::props)),
        route!(GET ["/slots"], llama_cpp::slots,
            "How many texts are in progress, unless --no-slots.", Json(answers::slots)),
        route!(POST ["/completion", "/completions"], llama_cpp::completion,
            "Goes on with a text.", requests::COMPLETION, Events(answers::completion)),
        route!(POST ["/embedding", "/embeddings"], embeddings::embedding,
            "Vectors of texts.", requests::EMBEDDING, Json(answers::embedding)),
        route!(POST ["/tokenize"], llama_cpp::tokenize,
            "The token ids of a text.", requests::TOKENIZE, Json(answers::tokenize)),
        route!(POST ["/detokenize"], llama_cpp::detokenize,
            "The text of token ids.", requests::DETOKENIZE, Json(answers::detokenize)),
        route!(POST ["/apply-template"], llama_cpp::apply_template,
            "A conversation as the model gets it.", requests::APPLY_TEMPLATE, Json(answers::apply_template)),
        route!(GET ["/v1/models", "/models"], openai::models,
            "The names of the models.", Json(answers::models)),
        route!(GET ["/v1/models/{*name}"], openai::model,
            "A model by one of its names.", Json(answers::model)),
        route!(POST ["/v1/chat/completions", "/chat/completions"], openai::chat,
            "Answers a conversation.", requests::CHAT, Events(answers::chat)),
        route!(POST ["/v1/chat/completions/input_tokens", "/chat/completions/input_tokens"], openai::count_tokens,
            "How many tokens a conversation has.", requests::CHAT, Json(answers::count_tokens)),
        route!(POST ["/v1/completions"], openai::completions,
            "Goes on with texts.", requests::COMPLETIONS, Events(answers::completions)),
        route!(POST ["/v1/embeddings"], embeddings::openai_embeddings,
            "Vectors of texts.", requests::EMBEDDINGS, Json(answers::embeddings)),
        route!(POST ["/v1/responses", "/responses"], openai::responses,
            "Answers a conversation.", requests::RESPONSES, Events(answers::responses)),
        route!(POST ["/v1/messages"], anthropic::messages,
            "Answers a conversation.", requests::MESSAGES_OF_ANTHROPIC, Events(answers::messages)),
        route!(POST ["/v1/messages/count_tokens"], anthropic::count_tokens,
            "How many tokens a conversation has.", requests::COUNT_TOKENS, Json(answers::count_tokens)),
        route!(POST ["/api/generate"], ollama::generate,
            "Goes on with a text.", requests::GENERATE, Lines(answers::generate)),
        route!(POST ["/api/chat"], ollama::chat,
            "Answers a conversation.", requests::CHAT_OF_OLLAMA, Lines(answers::chat_of_ollama)),
        route!(POST ["/api/embed"], embeddings::embed,
            "Vectors of texts.", requests::EMBED_OF_OLLAMA, Json(answers::embed_of_ollama)),
        route!(POST ["/api/embeddings"], embeddings::embeddings,
            "The vector of a text.", requests::EMBEDDINGS_OF_OLLAMA, Json(answers::embeddings_of_ollama)),
        route!(GET ["/api/tags"], ollama::tags,
            "The names of the models.", Json(answers::tags)),
        route!(POST ["/api/show"], ollama::show,
            "What the model is.", requests::SHOW, Json(answers::show)),
        route!(POST ["/api/pull"], ollama::pull,
            "Fetches a model from a hub.", requests::PULL, Lines(answers::pull)),
        route!(POST ["/api/copy"], ollama::copy,
            "Gives a model another name.", requests::COPY, Nothing),
        route!(DELETE ["/api/delete"], ollama::delete,
            "Removes a model, or a name that it was given.", requests::DELETE, Nothing),
        route!(GET ["/api/ps"], ollama::ps,
            "The models that are loaded.", Json(answers::tags)),
        route!(GET ["/api/version"], ollama::version,
            "The program's version.", Json(answers::version)),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_path_is_there_once_for_a_method() {
        let mut seen = BTreeSet::new();
        for route in routes().into_iter().chain(page_routes()).chain(refusing_routes()) {
            assert!(!route.paths.is_empty());
            for path in route.paths {
                assert!(seen.insert((route.method.to_string(), *path)), "{path}");
            }
        }
    }

    #[test]
    fn what_can_be_asked_is_described() {
        for route in routes() {
            let described = route.described.unwrap_or_else(|| panic!("{:?} is not described", route.paths));
            assert_eq!(described.request.is_some(), route.method != Method::GET, "{:?}", route.paths);
        }
        assert!(page_routes().iter().chain(&refusing_routes()).all(|route| route.described.is_none()));
    }
}
