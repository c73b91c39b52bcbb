//! One connection: hyper's HTTP/1 with our deadlines, guard and drain.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tracing::{Level, debug, enabled};

use super::Shared;
use super::account::Asked;
use super::answer::Refusal;
use super::deadline::Activity;
use super::ending::{Ending, Farewell, Outcome};
use super::guard::KnownHost;
use super::incoming::RequestBody;
use super::linger::linger;
use super::malformed::{UNKNOWN_CODING, last_answer, refusal_of};
use super::outgoing::{AnswerBody, outgoing};
use super::routes::Routes;
use super::stream::NotedStream;
use super::target;
use super::value::{is_room_wanted, place_of};
use crate::door::{Phase, Phases};
use crate::limits::{
    HTTP_HEADER_BYTES_MAX, HTTP_HEADERS_MAX, HTTP_LINGER_LEAVING_TIMEOUT,
    HTTP_LINGER_REFUSED_TIMEOUT,
};
use crate::trace::UnderWay;

/// What a connection is told for which there is no place, with 503.
const FULL: &str = "too many connections; try again";

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// What the requests of a connection are answered with.
struct Served<'a> {
    http: &'a Shared,
    phases: &'a Phases,
    routes: Routes,
    activity: Arc<Activity>,
    known: KnownHost,
    under_way: Arc<UnderWay>,
}

/// Serves a connection until the client, a deadline or the door ends it.
pub(super) async fn serve(http: &Shared, phases: &Phases, stream: TcpStream) {
    let under_way = UnderWay::new(http.log.slow.is_some() || enabled!(Level::DEBUG));
    let noted = Arc::clone(&under_way);
    noted.scope(serve_noted(http, phases, stream, under_way)).await;
}

async fn serve_noted(http: &Shared, phases: &Phases, stream: TcpStream, under_way: Arc<UnderWay>) {
    // Without it an answer waits for the client's acknowledgement; a stream that does not take the
    // option is about to fail anyway.
    drop(stream.set_nodelay(true));
    let opened = Instant::now();
    let activity = Arc::new(Activity::new(opened));
    let io = TokioIo::new(NotedStream::new(stream, Arc::clone(&activity)));
    let (routes, known) = ((http.routes)(), KnownHost::default());
    let served = Served { http, phases, routes, activity: Arc::clone(&activity), known, under_way };
    let service = service_fn(|request: Request<Incoming>| {
        // At once, and not when the answer is first looked at: what is sent from here on is ours.
        served.activity.request_began();
        answer(&served, request)
    });
    let mut connection = builder().serve_connection(io, service);

    let mut phase = phases.watch();
    // One that comes late is told at once.
    phase.mark_changed();
    let mut watchdog = std::pin::pin!(sleep_until(opened));
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut connection => break Some(ended),
            () = watchdog.as_mut() => {
                activity.end(Ending::call_ended);
                activity.traffic.tell(&http.counts);
                match activity.next_look(Instant::now(), is_room_wanted) {
                    Some(look) => watchdog.as_mut().reset(look),
                    None => {
                        http.counts.timed_out.count();
                        break None;
                    }
                }
            }
            // The sender is in `phases`, so that this is never an error.
            _ = phase.changed() => match *phase.borrow_and_update() {
                Phase::Open | Phase::Leaving => {}
                Phase::Draining | Phase::Shut => {
                    activity.end(Ending::called);
                    watchdog.as_mut().reset(Instant::now() + HTTP_LINGER_LEAVING_TIMEOUT);
                }
                Phase::Closed => break None,
            },
        }
    };
    activity.traffic.tell(&http.counts);
    let parts = connection.into_parts();
    let stream = parts.io.into_inner().into_inner();
    let outcome = match ended {
        Some(Ok(())) => Outcome::Answered,
        Some(Err(reason)) => {
            debug!(%reason, "connection ended");
            tell(http, &stream, &reason, &parts.read_buf)
        }
        None => Outcome::Cut,
    };
    let farewell = activity.ending().farewell(outcome, *phase.borrow());
    match farewell {
        Farewell::Close => {}
        Farewell::Linger(pause) => linger(stream, &mut phase, pause).await,
    }
}

fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // Its timer starts while a connection idles; ours knows the difference.
    builder.header_read_timeout(None);
    // The end of what a client sends is not the end of what it is owed. While a request is under way
    // nothing is read, so that who is gone is noticed by what is written to it, or by the deadline of
    // what it asked for.
    builder.half_close(true);
    // The buffer alone may take more than its size, where more comes in one piece.
    builder.max_buf_size(HTTP_HEADER_BYTES_MAX).max_header_size(HTTP_HEADER_BYTES_MAX);
    builder.max_headers(HTTP_HEADERS_MAX);
    builder
}

async fn answer(
    served: &Served<'_>,
    mut request: Request<Incoming>,
) -> Result<
    Response<AnswerBody<impl Body<Data = Bytes, Error = warp::Error> + Unpin + use<>>>,
    Infallible,
> {
    let Served { http, phases, routes, activity, known, under_way } = served;
    let is_old = request.version() == Version::HTTP_10;
    let is_last = is_old && !keeps_alive(request.headers());
    let settled = target::settle(&mut request, &activity.suspects);
    let asked = Asked::of(&request, &http.log, under_way);
    let request = request.map(|incoming| RequestBody::new(incoming, activity));
    let may_be_done = settled
        .and_then(|()| http.guard.check(&request, known))
        .and_then(|()| check_coding(&request));
    let mut response = match may_be_done {
        Ok(()) => routes.call(request).await?,
        Err(refusal) => refusal.into(),
    };
    let place = place_of(&response).unwrap_or_else(|refusal| {
        response = refusal.into();
        None
    });
    let took = activity.took(Instant::now());
    asked.answered(&mut response, &http.counts, &http.log, under_way, took);
    // What is left of a body is in the way of the next request, and nobody reads it.
    if is_last || phases.is_leaving() || activity.has_unread() {
        response.headers_mut().insert(CONNECTION, CLOSE);
        if is_old {
            // Else hyper says to an old client that the connection stays, beside that it does not.
            *response.version_mut() = Version::HTTP_10;
        }
    }
    Ok(outgoing(response, place, activity))
}

/// Whether a client that speaks HTTP/1.0 wants its connection to stay.
fn keeps_alive(headers: &HeaderMap) -> bool {
    let said = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let mut options = said.flat_map(|value| value.split(','));
    options.any(|option| option.trim().eq_ignore_ascii_case("keep-alive"))
}

/// hyper undoes `chunked`, and looks for nothing before it (RFC 9112, 6.1).
fn check_coding(request: &Request<RequestBody>) -> Result<(), Refusal> {
    if !request.body().is_chunked() {
        return Ok(());
    }
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    let is_chunked =
        |coding: &HeaderValue| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    match (codings.next(), codings.next()) {
        (Some(only), None) if is_chunked(only) => Ok(()),
        _ => Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, UNKNOWN_CODING)),
    }
}

/// Tells a client what is wrong with what it sent, if it is that, in place of hyper's answer without a
/// body.
fn tell(http: &Shared, stream: &TcpStream, reason: &hyper::Error, unread: &[u8]) -> Outcome {
    let is_cut_short = reason.is_incomplete_message() && !unread.is_empty();
    if !reason.is_parse() && !is_cut_short {
        return Outcome::Broken;
    }
    let (status, message) = refusal_of(reason, unread);
    http.counts.refused(status.as_u16());
    // As much as fits at once, which is all of it unless the client reads nothing.
    drop(stream.try_write(&last_answer(status, &message, "")));
    Outcome::Refused
}

/// Answers 503, whatever is asked, and closes once the client had time to read it.
pub(super) async fn refuse(http: &Shared, phases: &Phases, stream: TcpStream) {
    http.counts.refused(StatusCode::SERVICE_UNAVAILABLE.as_u16());
    let answer = last_answer(StatusCode::SERVICE_UNAVAILABLE, FULL, "retry-after: 1\r\n");
    // A new connection takes this much at once, or is gone.
    drop(stream.writable().await);
    drop(stream.try_write(&answer));
    linger(stream, &mut phases.watch(), HTTP_LINGER_REFUSED_TIMEOUT).await;
}
