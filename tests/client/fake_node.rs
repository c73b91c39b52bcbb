//! A node in miniature: what the client commands use of the interface, and ways to misbehave.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::thread;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// The answer to `GET /status`.
pub const STATUS: &str = r#"{"node":"fake","boot_id":"b","version":"0.1.0","state":"ready","uptime_ms":1234,"shards":[{"id":0,"entries":0,"bytes":0,"queue":0,"restarts":0}],"memory":{"limit_bytes":268435456,"used_bytes":0},"requests":{"hits":0,"misses":0,"writes":0,"evictions":0},"cluster":{"epoch":1,"moving":0,"members":[]}}"#;

/// The answer to `GET /supervision`.
pub const TREE: &str = r#"{"name":"root","kind":"supervisor","state":"running","restarts":0,"since_ms":1234,"children":[{"name":"shard-0","kind":"worker","state":"running","restarts":0,"since_ms":1,"children":[]}]}"#;

/// How the node answers.
#[derive(Clone, Copy)]
pub enum Behavior {
    /// As the contract says.
    Correct,
    /// The same, in chunks of one byte.
    Chunked,
    /// The same, if this token is presented.
    Token(&'static str),
    /// Always with this status and body.
    Answers(u16, &'static str),
    /// As the contract says, but a connection ends with the request after so many.
    ClosesAfter(u64),
}

/// A node on a port of its own, which ends when dropped.
pub struct FakeNode {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
    _stop: oneshot::Sender<()>,
}

#[derive(Default)]
struct World {
    entries: BTreeMap<String, String>,
    writes: BTreeMap<String, u64>,
    requests: u64,
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

impl FakeNode {
    pub fn start(behavior: Behavior) -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        let shared = world.clone();
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = accept(listener, behavior, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address: told.recv().unwrap(), world, _stop: stop }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests that were answered so far.
    pub fn requests(&self) -> u64 {
        self.world.lock().unwrap().requests
    }

    /// Distinct keys that are there.
    pub fn keys(&self) -> usize {
        self.world.lock().unwrap().entries.len()
    }

    /// How often each key was written.
    pub fn writes(&self) -> BTreeMap<String, u64> {
        self.world.lock().unwrap().writes.clone()
    }
}

async fn accept(listener: TcpListener, behavior: Behavior, world: Arc<Mutex<World>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let world = world.clone();
        tokio::spawn(async move {
            let seen = Mutex::new(0);
            let service = service_fn(|request| {
                *seen.lock().unwrap() += 1;
                let is_last =
                    matches!(behavior, Behavior::ClosesAfter(n) if n < *seen.lock().unwrap());
                let world = world.clone();
                async move {
                    match is_last {
                        true => Err("closed on purpose"),
                        false => Ok(answer(behavior, &world, request).await),
                    }
                }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(behavior: Behavior, world: &Mutex<World>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let (status, text) = match behavior {
        Behavior::Answers(status, text) => (status, text.to_owned()),
        Behavior::Token(token) => {
            let expected = format!("Bearer {token}");
            match head.headers.get("authorization") {
                Some(value) if *value == expected => {
                    (200, world.lock().unwrap().answer(&head, &body))
                }
                _ => (401, r#"{"message":"token missing"}"#.to_owned()),
            }
        }
        _ => (200, world.lock().unwrap().answer(&head, &body)),
    };
    let body = match behavior {
        Behavior::Chunked => Pieces(Bytes::from(text)).boxed(),
        _ => Full::new(Bytes::from(text)).boxed(),
    };
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(body).unwrap()
}

/// A body whose length is not said, byte by byte.
struct Pieces(Bytes);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let is_over = self.0.is_empty();
        Poll::Ready((!is_over).then(|| Ok(Frame::data(self.0.split_to(1)))))
    }
}

impl World {
    fn answer(&mut self, head: &Parts, body: &[u8]) -> String {
        #[derive(serde::Deserialize)]
        struct Put {
            key: String,
            data: Box<RawValue>,
        }
        self.requests += 1;
        let query = head.uri.query().unwrap_or_default().strip_prefix("key=").unwrap_or_default();
        let key = percent_encoding::percent_decode_str(query).decode_utf8().unwrap().into_owned();
        let shown = serde_json::to_string(&key).unwrap();
        match (&head.method, head.uri.path()) {
            (&Method::GET, "/") => "{}".to_owned(),
            (&Method::GET, "/status") => STATUS.to_owned(),
            (&Method::GET, "/supervision") => TREE.to_owned(),
            (&Method::GET, "/api") => {
                let data = self.entries.get(&key).map_or("null", String::as_str);
                format!("{{\"key\":{shown},\"data\":{data},\"node\":\"fake\"}}")
            }
            (&Method::DELETE, "/api") => {
                let is_deleted = self.entries.remove(&key).is_some();
                format!("{{\"key\":{shown},\"deleted\":{is_deleted}}}")
            }
            (&Method::POST, "/api") => {
                let put: Put = serde_json::from_slice(body).unwrap();
                let data = put.data.get().to_owned();
                *self.writes.entry(put.key.clone()).or_default() += 1;
                let answer = format!("{{\"data\":{data}}}");
                self.entries.insert(put.key, data);
                answer
            }
            (&Method::PUT, path) if path.starts_with("/v1/default/") => {
                let key = path.trim_start_matches("/v1/default/").to_owned();
                let ttl = head.uri.query().unwrap_or_default();
                self.entries.insert(format!("{key}?{ttl}"), String::from_utf8_lossy(body).into());
                String::new()
            }
            other => panic!("nobody asks for {other:?}"),
        }
    }
}
