//! Which path is answered by what, and what holds for all of them.

use std::collections::BTreeSet;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;
use axum::routing::any;
use axum::serve::{Listener, ListenerExt};
use futures_util::StreamExt;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::answer::Answers;
use super::ask::Ask;
use super::catalog::{Catalog, Offer};
use super::dialect::Dialect;
use super::log::{Log, Record};
use super::model::Model;
use super::refusal::{Kind, Refusal};
use super::routes::{Answering, Route, page_routes, refusing_routes, routes};
use super::settings::Settings;
use super::state::Shared;
use super::worker::{Command, Worker};
use super::{cors, host, isolation};
use crate::engine::CacheSalt;

/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request that may be answered.
pub(super) struct Call {
    pub shared: Arc<Shared>,
    /// Of this request alone.
    pub id: Arc<str>,
    /// That of its key, where keys are isolated.
    pub key_salt: Option<CacheSalt>,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    /// The model that is meant, loaded.
    ///
    /// # Errors
    /// No such model, or it cannot be loaded now.
    pub async fn model(&self, name: Option<&str>) -> Result<Arc<Model>, Refusal> {
        self.shared.check_ready()?;
        let strict = Dialect::of_path(&self.path) == Dialect::Ollama;
        self.shared.have(self.shared.catalog.find(name, strict)?).await
    }

    /// Asks a model for texts.
    ///
    /// # Errors
    /// As [`Shared::ask`].
    pub async fn ask(&self, model: &Arc<Model>, asks: Vec<Ask>) -> Result<Answers, Refusal> {
        self.shared.ask(&self.id, self.key_salt, model, asks).await
    }

    /// What an answer calls the model: as it was asked for, if it has that name.
    pub fn called(&self, model: &Model, asked: Option<&str>) -> String {
        self.shared.catalog.called(model.number, asked)
    }
}

/// What requests come to.
#[derive(Debug)]
pub enum Socket {
    /// An address.
    Tcp(TcpListener),
    /// A file.
    Unix(UnixListener),
}

/// HTTP on a thread of its own, from when the model begins to load.
pub struct Http {
    shared: Arc<Shared>,
    commands: Option<Receiver<Command>>,
    thread: JoinHandle<io::Result<()>>,
    stop: watch::Sender<bool>,
}

/// Ends a server.
pub struct Stop {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
}

impl Stop {
    /// No more requests are taken, and texts in progress have the time to end that the settings give them.
    pub fn now(&self) {
        self.shared.is_draining.store(true, Ordering::SeqCst);
        self.stop.send_replace(true);
    }
}

impl Http {
    /// Answers the requests that come to `socket`; until the first of the models is [loaded](Worker::begin) with the
    /// advice to try again.
    ///
    /// # Errors
    /// What the system answers.
    pub fn start(socket: Socket, settings: Settings, log: Log, models: Vec<Offer>) -> io::Result<Self> {
        match &socket {
            Socket::Tcp(listener) => listener.set_nonblocking(true)?,
            Socket::Unix(listener) => listener.set_nonblocking(true)?,
        }
        let (sender, commands) = channel();
        let shared = Arc::new(Shared::new(settings, log, Catalog::new(models), sender));
        let (stop, stopped) = watch::channel(false);
        let of_thread = Arc::clone(&shared);
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .max_blocking_threads(2)
                .build();
            let served = runtime.and_then(|runtime| {
                let served = runtime.block_on(listen(socket, &of_thread, stopped));
                // What is left of connections does not hold up the end.
                runtime.shutdown_background();
                served
            });
            of_thread.close();
            served
        };
        let thread = std::thread::Builder::new().name("http".into()).spawn(run)?;
        Ok(Self { shared, commands: Some(commands), thread, stop })
    }

    /// What makes the answers; there is one.
    pub fn worker(&mut self) -> Option<Worker> {
        let commands = self.commands.take()?;
        Some(Worker { commands, shared: Arc::clone(&self.shared), running: Vec::new(), is_tidying: false })
    }

    /// What ends it.
    pub fn stop(&self) -> Stop {
        Stop { shared: Arc::clone(&self.shared), stop: self.stop.clone() }
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// What the system answered.
    pub fn join(self) -> io::Result<()> {
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread of HTTP has failed")))
    }
}

async fn listen(socket: Socket, shared: &Arc<Shared>, stopped: watch::Receiver<bool>) -> io::Result<()> {
    match socket {
        Socket::Tcp(listener) => {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            // Tokens are small, and each is to arrive when it is there.
            let listener = listener.tap_io(|stream| {
                let _ = stream.set_nodelay(true);
            });
            serve(listener, shared, stopped).await
        }
        Socket::Unix(listener) => serve(tokio::net::UnixListener::from_std(listener)?, shared, stopped).await,
    }
}

async fn serve<L>(listener: L, shared: &Arc<Shared>, mut stopped: watch::Receiver<bool>) -> io::Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    let router = router(shared);
    let mut until = stopped.clone();
    let drain = async move {
        let _ = until.wait_for(|stop| *stop).await;
    };
    let served = axum::serve(listener, router).with_graceful_shutdown(drain);
    let patience = shared.settings.drain;
    let over = async {
        let _ = stopped.wait_for(|stop| *stop).await;
        sleep(patience).await;
        // Texts in progress end with what there is of them.
        shared.is_over.store(true, Ordering::SeqCst);
        sleep(Duration::from_secs(1)).await;
    };
    tokio::select! {
        served = served => served,
        () = over => Ok(()),
    }
}

fn router(shared: &Arc<Shared>) -> Router {
    let mut router = Router::new();
    let mut routes = routes();
    routes.extend(refusing_routes());
    if shared.settings.page {
        routes.extend(page_routes());
    }
    let paths: BTreeSet<&'static str> = routes.iter().flat_map(|route| route.paths).copied().collect();
    let routes: Arc<[Route]> = routes.into();
    for path in paths {
        let (shared, routes) = (Arc::clone(shared), Arc::clone(&routes));
        let find = move |method: &Method| {
            // What answers a GET answers a HEAD, of which the body is left out.
            let with = |method: &Method| {
                routes.iter().find(|route| route.method == *method && route.paths.contains(&path))
            };
            let like_get = || (*method == Method::HEAD).then(|| with(&Method::GET)).flatten();
            with(method).or_else(like_get).map(|route| (route.open, route.handler))
        };
        let find = Arc::new(find);
        let handler = move |request: Request| {
            let (shared, find) = (Arc::clone(&shared), Arc::clone(&find));
            async move {
                let found = find(request.method()).ok_or(Kind::Method);
                respond(shared, found, request).await
            }
        };
        router = router.route(path, any(handler));
    }
    let lost = Arc::clone(shared);
    router =
        router.fallback(move |request: Request| respond(Arc::clone(&lost), Err(Kind::NotFound), request));
    match cors::layer(&shared.settings.origins) {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

type Found = Result<(bool, fn(Call) -> Answering), Kind>;

async fn respond(shared: Arc<Shared>, found: Found, request: Request) -> Response {
    let start = Instant::now();
    let id: Arc<str> = request_id(request.headers()).into();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let dialect = Dialect::of_path(&path);
    let answered = answer(&shared, Arc::clone(&id), found, request).await;
    let mut response = answered.unwrap_or_else(|refusal| dialect.refuse(&refusal));
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    let status = response.status().as_u16();
    shared.metrics.answered(status);
    let millis = start.elapsed().as_millis() as u64;
    shared.log(&Record {
        what: "request",
        fields: vec![
            ("id", json!(*id)),
            ("method", json!(method.as_str())),
            ("path", json!(path)),
            ("status", json!(status)),
            ("ms", json!(millis)),
        ],
    });
    response
}

async fn answer(
    shared: &Arc<Shared>,
    id: Arc<str>,
    found: Found,
    request: Request,
) -> Result<Response, Refusal> {
    let path = request.uri().path().to_owned();
    let headers = request.headers().clone();
    if let Some(hosts) = &shared.settings.hosts {
        host::check(&headers, request.uri(), hosts)?;
    }
    cors::check(&headers, &shared.settings.origins)?;
    let open = found.as_ref().is_ok_and(|(open, _)| *open);
    let key = key(&headers);
    if !open && !shared.settings.keys.allow(key) {
        let why = "the API key is missing or wrong; send it as 'Authorization: Bearer KEY'";
        return Err(Refusal::new(Kind::Key, why));
    }
    let key_salt = key.filter(|_| shared.settings.isolate_keys).map(isolation::of_key);
    let (_, handler) = found.map_err(|kind| {
        let method = request.method();
        let why = match kind {
            Kind::Method => format!("{path} is not for {method}"),
            _ => format!("there is nothing at {path}; docs/SERVER.md lists what there is"),
        };
        Refusal::new(kind, why)
    })?;
    let most = shared.settings.max_body;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let too_large = || {
        let why = format!("the body is longer than the {most} bytes that this server takes (--max-body-mb)");
        Refusal::new(Kind::TooLarge, why)
    };
    if length.is_some_and(|length: usize| length > most) {
        drain(request.into_body()).await;
        return Err(too_large());
    }
    let body = match timeout(PATIENCE, to_bytes(request.into_body(), most)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Err(too_large()),
        Err(_) => {
            let why = format!("the body did not come within {} seconds", PATIENCE.as_secs());
            return Err(Refusal::new(Kind::TooSlow, why));
        }
    };
    handler(Call { shared: Arc::clone(shared), id, key_salt, path, headers, body }).await
}

/// Reads a body that is not wanted, so that its client hears why: whoever still writes may not. Of one without end no more
/// than 64 MiB, and no longer than two seconds.
async fn drain(body: Body) {
    let mut data = body.into_data_stream();
    let mut left: usize = 64 << 20;
    let read = async {
        while let Some(Ok(bytes)) = data.next().await {
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                return;
            }
        }
    };
    let _ = timeout(Duration::from_secs(2), read).await;
}

/// The key that a request brings.
fn key(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    bearer.or_else(|| text("x-api-key"))
}

/// The id that a request brings, if it is one, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get("x-request-id").and_then(|value| value.to_str().ok());
    let is_id = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    match given.filter(is_id) {
        Some(id) => id.to_owned(),
        None => {
            use std::hash::{BuildHasher, RandomState};
            format!("{:016x}", RandomState::new().hash_one(Instant::now()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn keys_come_in_two_headers() {
        assert_eq!(key(&headers(&[("authorization", "Bearer abc")])), Some("abc"));
        assert_eq!(key(&headers(&[("authorization", "bearer  abc")])), Some("abc"));
        assert_eq!(key(&headers(&[("x-api-key", "abc")])), Some("abc"));
        assert_eq!(key(&headers(&[("authorization", "Basic abc")])), None);
        assert_eq!(key(&headers(&[])), None);
    }

    #[test]
    fn an_id_of_a_request_is_taken_if_it_is_one() {
        assert_eq!(request_id(&headers(&[("x-request-id", "abc-1")])), "abc-1");
        for bad in ["", "a b", &"x".repeat(65), "a\"b"] {
            assert_eq!(request_id(&headers(&[("x-request-id", bad)])).len(), 16, "{bad}");
        }
        assert_ne!(request_id(&headers(&[])), request_id(&headers(&[])));
    }
}
