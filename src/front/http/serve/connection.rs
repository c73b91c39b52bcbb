//! One connection: hyper's HTTP/1 with our deadlines, guard and drain.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;
use warp::reply::Response;

use super::Shared;
use super::deadline::{Activity, NotedStream};
use super::guard::KnownHost;
use super::routes::Routes;
use super::target;
use crate::door::{Phase, Phases};
use crate::limits::{
    HTTP_HEADER_BYTES_MAX, HTTP_HEADERS_MAX, HTTP_LINGER_BYTES_MAX, HTTP_LINGER_LEAVING_TIMEOUT,
    HTTP_LINGER_TIMEOUT, HTTP_TARGET_BYTES_MAX,
};

/// What a connection is told for which there is no place, with 503.
const FULL: &str = "too many connections; try again";

/// How a connection ended.
enum End {
    /// By itself: both sides were done, or the client was gone.
    Served,
    /// By something that is not HTTP, or more of it than is allowed.
    Malformed(hyper::Error),
    /// By us, at once: a deadline has passed, or the door is closed.
    Cut,
}

/// Serves a connection until the client, a deadline or the door ends it.
pub(super) async fn serve(http: &Shared, phases: &Phases, stream: TcpStream) {
    // Without it an answer waits for the client's acknowledgement; a stream that does not take the
    // option is about to fail anyway.
    drop(stream.set_nodelay(true));
    let opened = Instant::now();
    let activity = Arc::new(Activity::new(opened));
    let io = TokioIo::new(NotedStream::new(stream, Arc::clone(&activity)));
    let routes = (http.routes)();
    let known = KnownHost::default();
    let service = service_fn(|request| answer(http, phases, &routes, &activity, &known, request));
    let mut builder = http1::Builder::new();
    // Its timer starts while a connection idles; ours knows the difference.
    builder.header_read_timeout(None);
    builder.max_buf_size(HTTP_HEADER_BYTES_MAX).max_headers(HTTP_HEADERS_MAX);
    let mut connection = builder.serve_connection(io, service);

    let mut phase = phases.watch();
    if *phase.borrow() == Phase::Closed {
        return;
    }
    let mut watchdog = std::pin::pin!(sleep_until(opened));
    let end = loop {
        tokio::select! {
            biased;
            ended = &mut connection => match ended {
                Err(reason) if reason.is_parse() => break End::Malformed(reason),
                Err(reason) => {
                    debug!(%reason, "connection ended");
                    break End::Served;
                }
                Ok(()) => break End::Served,
            },
            () = watchdog.as_mut() => match activity.next_look(Instant::now()) {
                Some(look) => watchdog.as_mut().reset(look),
                None => {
                    http.counts.timed_out.count();
                    break End::Cut;
                }
            },
            // The sender is in `phases`, so that this is never an error.
            _ = phase.changed() => match *phase.borrow_and_update() {
                Phase::Open | Phase::Leaving => {}
                Phase::Draining => Pin::new(&mut connection).graceful_shutdown(),
                Phase::Closed => break End::Cut,
            },
        }
    };
    let stream = connection.into_parts().io.into_inner();
    match end {
        End::Served if activity.has_unread() => {
            linger(stream.into_inner(), HTTP_LINGER_TIMEOUT).await;
        }
        // A request that was sent before the client knew must not have its connection reset.
        End::Served if *phase.borrow() != Phase::Open => {
            linger(stream.into_inner(), HTTP_LINGER_LEAVING_TIMEOUT).await;
        }
        End::Malformed(reason) => refuse_malformed(http, stream, &reason).await,
        End::Served | End::Cut => {}
    }
}

async fn answer(
    http: &Shared,
    phases: &Phases,
    routes: &Routes,
    activity: &Activity,
    known: &KnownHost,
    mut request: Request<Incoming>,
) -> Result<Response, Infallible> {
    activity.request_began();
    let has_body = !request.body().is_end_stream();
    let settled = target::settle(&mut request, &activity.suspects);
    let mut response = match settled.and_then(|()| http.guard.check(&request, known)) {
        Ok(()) => routes.call(request).await?,
        Err(refusal) => refusal.into(),
    };
    let status = response.status();
    // Classes begin at 1xx, and hyper sends none below it.
    let class = usize::from(status.as_u16() / 100).clamp(1, 5);
    http.counts.answers[class - 1].count();
    if phases.is_leaving() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    // A refusal may leave the body where it is.
    if has_body && (status.is_client_error() || status.is_server_error()) {
        activity.left_unread();
    }
    activity.request_ended();
    Ok(response)
}

/// Tells a client what is wrong with what it sent, in place of hyper's answer without a body.
async fn refuse_malformed(http: &Shared, stream: NotedStream, reason: &hyper::Error) {
    debug!(%reason, "request is malformed");
    if stream.has_held_back() {
        http.counts.answers[3].count();
        let (status, message) = refusal_of(reason);
        let body = format!("{{\"message\":\"{message}\"}}");
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        // As much as fits at once, which is all of it unless the client reads nothing.
        drop(stream.inner().try_write((head + &body).as_bytes()));
    }
    linger(stream.into_inner(), HTTP_LINGER_TIMEOUT).await;
}

fn refusal_of(reason: &hyper::Error) -> (StatusCode, String) {
    let text = reason.to_string();
    if !reason.is_parse_too_large() {
        let message = format!("request is malformed: {text}; allowed: HTTP/1.1");
        return (StatusCode::BAD_REQUEST, message);
    }
    if text.contains("URI") {
        let message = format!("target is too long; allowed: up to {HTTP_TARGET_BYTES_MAX} bytes");
        return (StatusCode::URI_TOO_LONG, message);
    }
    let message = format!(
        "header is too large; allowed: up to {HTTP_HEADER_BYTES_MAX} bytes and {HTTP_HEADERS_MAX} \
         fields"
    );
    (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message)
}

/// Answers 503, whatever is asked, and closes once the client had time to read it.
pub(super) async fn refuse(http: &Shared, stream: TcpStream) {
    http.counts.answers[4].count();
    let body = format!("{{\"message\":\"{FULL}\"}}");
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    // A new connection takes this much at once, or is gone.
    drop(stream.writable().await);
    drop(stream.try_write(answer.as_bytes()));
    linger(stream, HTTP_LINGER_TIMEOUT).await;
}

/// Closes a connection on which the client may still be sending.
///
/// Closing it at once would reset it, and a client whose connection is reset does not see the
/// answer that was on its way.
async fn linger(mut stream: TcpStream, limit: Duration) {
    let discard = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(HTTP_LINGER_BYTES_MAX), &mut tokio::io::sink()).await
    };
    // Whether it ends or time runs out, the connection is over.
    drop(timeout(limit, discard).await);
}
