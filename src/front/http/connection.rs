//! One connection: hyper's HTTP/1 with our deadlines, guard and drain.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tracing::debug;
use warp::reply::Response;

use super::deadline::{Activity, NotedStream};
use super::guard::KnownHost;
use super::routes::Routes;
use super::{Phase, Shared};
use crate::limits::{HTTP_HEADER_BYTES_MAX, HTTP_HEADERS_MAX};

/// Serves a connection until the client, a deadline or the door ends it.
pub(super) async fn serve(door: &Arc<Shared>, stream: TcpStream) {
    // Without it an answer waits for the client's acknowledgement; a stream that does not take the
    // option is about to fail anyway.
    drop(stream.set_nodelay(true));
    let opened = Instant::now();
    let activity = Arc::new(Activity::new(opened));
    let io = TokioIo::new(NotedStream::new(stream, Arc::clone(&activity)));
    let routes = Routes::new(&door.context);
    let known = KnownHost::default();
    let service = service_fn(|request| answer(door, &routes, &activity, &known, request));
    let mut http = http1::Builder::new();
    // Its timer starts while a connection idles; ours knows the difference.
    http.header_read_timeout(None);
    http.max_buf_size(HTTP_HEADER_BYTES_MAX).max_headers(HTTP_HEADERS_MAX).pipeline_flush(true);
    let mut connection = std::pin::pin!(http.serve_connection(io, service));

    let mut phase = door.phase.subscribe();
    // It may have changed since this connection was accepted.
    phase.mark_changed();
    let mut watchdog = std::pin::pin!(sleep_until(opened));
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(reason) = ended {
                    debug!(%reason, "connection ended");
                }
                return;
            }
            () = watchdog.as_mut() => match activity.next_look(Instant::now()) {
                Some(look) => watchdog.as_mut().reset(look),
                None => return door.counts.timed_out.count(),
            },
            // The sender is in `door`, so that this is never an error.
            _ = phase.changed() => match *phase.borrow_and_update() {
                Phase::Open => {}
                Phase::Draining => connection.as_mut().graceful_shutdown(),
                Phase::Closed => return,
            },
        }
    }
}

async fn answer(
    door: &Shared,
    routes: &Routes,
    activity: &Activity,
    known: &KnownHost,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    activity.request_began();
    let response = match door.guard.check(&request, known) {
        Ok(()) => routes.call(request).await?,
        Err(refusal) => refusal.into(),
    };
    // Classes begin at 1xx, and hyper sends none below it.
    let class = usize::from(response.status().as_u16() / 100).clamp(1, 5);
    door.counts.answers[class - 1].count();
    activity.request_ended();
    Ok(response)
}
