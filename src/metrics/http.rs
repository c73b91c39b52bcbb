//! What the HTTP door counts: responses by route and code, and how long they took by verb and outcome.
//!
//! All of it is counted once for each request, so that it lies together, once for every few threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Counter, Latency, Measured, Striped};

/// What the HTTP door counts.
#[derive(Debug, Default)]
pub struct HttpCounts {
    answers: Striped<Answers>,
    /// Bytes that came in and went out, as far as connections have told.
    pub received_bytes: Counter,
    /// As above.
    pub sent_bytes: Counter,
    /// Connections closed because a deadline passed.
    pub timed_out: Counter,
}

#[derive(Debug, Default)]
struct Answers {
    latencies: [[Latency; OUTCOMES]; VERBS],
    codes: [[AtomicU64; CODES]; ROUTES],
}

macro_rules! labels {
    ($(#[$doc:meta])* $type:ident, $count:ident: $($(#[$said:meta])* $name:ident = $text:literal),* $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type {
            $($(#[$said])* $name,)*
        }

        const $count: usize = $type::ALL.len();

        impl $type {
            /// All there are.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$name),*];

            /// As it is shown.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

labels! {
    /// What was asked for: the shape of a path, without keys.
    Route, ROUTES:
    /// Smache's API.
    Api = "/api",
    /// Its queries.
    Query = "/api/cmd",
    /// One entry.
    Entry = "/v1/{namespace}/{key}",
    /// All of a namespace, or what is no namespace.
    Namespace = "/v1/{namespace}",
    /// Whether the process lives.
    Live = "/livez",
    /// Whether it takes requests.
    Ready = "/readyz",
    /// How it is.
    Status = "/status",
    /// These counts.
    Metrics = "/metrics",
    /// Where a key is.
    Explain = "/explain",
    /// The tree, and crashes.
    Supervision = "/supervision",
    /// Disturbed connections.
    Chaos = "/cluster/chaos",
    /// Nothing that there is, and what is no request.
    Other = "other",
}

labels! {
    /// What a request wanted of the cache.
    Verb, VERBS:
    /// One entry.
    Get = "get",
    /// To store.
    Put = "put",
    /// To delete.
    Delete = "delete",
    /// A part of an entry.
    Query = "query",
    /// Anything else.
    Other = "other",
    /// Nothing: it was about the node.
    Operate = "operate",
}

labels! {
    /// What became of it.
    Outcome, OUTCOMES:
    /// It was found.
    Hit = "hit",
    /// There is none.
    Miss = "miss",
    /// It was done.
    Ok = "ok",
    /// The client asked for what it may not have, or wrongly.
    Refused = "refused",
    /// This version does not do that.
    Unsupported = "unsupported",
    /// Not now.
    Unavailable = "unavailable",
    /// It should have been done.
    Failed = "failed",
}

/// Codes that are told apart, and one for all others.
const CODES_KNOWN: [u16; 29] = [
    200, 201, 202, 204, 206, 207, 304, 400, 401, 403, 404, 405, 406, 408, 409, 411, 412, 413, 414,
    415, 416, 417, 422, 428, 429, 431, 500, 501, 503,
];
const CODES: usize = CODES_KNOWN.len() + 1;

/// Where each code is among those, from 100 on.
const PLACES: [u8; 500] = {
    let mut places = [CODES_KNOWN.len() as u8; 500];
    let mut at = 0;
    while at < CODES_KNOWN.len() {
        places[CODES_KNOWN[at] as usize - 100] = at as u8;
        at += 1;
    }
    places
};

/// A code as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(Option<u16>);

impl Route {
    /// What a path asks for.
    #[must_use]
    pub fn of(path: &str) -> Self {
        if path == "/api" {
            return Self::Api;
        }
        if let Some(rest) = path.strip_prefix("/v1/") {
            return if rest.contains('/') { Self::Entry } else { Self::Namespace };
        }
        match path {
            "/api/cmd" => Self::Query,
            "/" | "/healthcheck" | "/livez" => Self::Live,
            "/readyz" => Self::Ready,
            "/status" => Self::Status,
            "/metrics" => Self::Metrics,
            "/explain" => Self::Explain,
            "/cluster/chaos" => Self::Chaos,
            path if path.starts_with("/supervision") => Self::Supervision,
            _ => Self::Other,
        }
    }
}

impl Verb {
    /// What a method wants there.
    #[must_use]
    pub fn of(route: Route, method: &str) -> Self {
        match (route, method) {
            (Route::Api | Route::Entry, "GET" | "HEAD") => Self::Get,
            (Route::Api, "POST" | "PUT") | (Route::Entry, "PUT") => Self::Put,
            (Route::Api | Route::Entry | Route::Namespace, "DELETE") => Self::Delete,
            (Route::Query, _) => Self::Query,
            (Route::Api | Route::Entry | Route::Namespace | Route::Other, _) => Self::Other,
            _ => Self::Operate,
        }
    }
}

impl Outcome {
    /// What a code says became of a request; `is_missed` if there was no entry.
    #[must_use]
    pub fn of(verb: Verb, code: u16, is_missed: bool) -> Self {
        match code {
            404 if matches!(verb, Verb::Get | Verb::Delete) => Self::Miss,
            ..=399 => match verb {
                Verb::Get | Verb::Query if is_missed => Self::Miss,
                Verb::Get | Verb::Query => Self::Hit,
                _ => Self::Ok,
            },
            400..=499 => Self::Refused,
            501 => Self::Unsupported,
            503 => Self::Unavailable,
            _ => Self::Failed,
        }
    }

    /// Whether it is shown for a verb before there was one: what is alarmed by has to be there.
    fn is_always_shown(self, verb: Verb) -> bool {
        match verb {
            Verb::Get => true,
            Verb::Put | Verb::Delete => !matches!(self, Self::Hit | Self::Miss),
            Verb::Query | Verb::Other | Verb::Operate => false,
        }
    }
}

impl HttpCounts {
    /// Counts an answer.
    pub fn answered(&self, route: Route, code: u16, verb: Verb, outcome: Outcome, took: Duration) {
        let own = self.answers.own();
        own.latencies[verb as usize][outcome as usize].count(took);
        own.codes[route as usize][place_of(code)].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an answer to what was no request.
    pub fn refused(&self, code: u16) {
        let codes = &self.answers.own().codes[Route::Other as usize];
        codes[place_of(code)].fetch_add(1, Ordering::Relaxed);
    }

    /// How long requests took, by verb and outcome: those there were, and those that are watched.
    pub fn latencies(&self) -> impl Iterator<Item = (Verb, Outcome, Measured)> {
        let of_verb = |verb| Outcome::ALL.into_iter().map(move |outcome| (verb, outcome));
        let all = Verb::ALL.into_iter().flat_map(of_verb).map(|(verb, outcome)| {
            let mut measured = Measured::default();
            for answers in self.answers.all() {
                measured.add(&answers.latencies[verb as usize][outcome as usize]);
            }
            (verb, outcome, measured)
        });
        all.filter(|(verb, outcome, measured)| {
            0 < measured.count() || outcome.is_always_shown(*verb)
        })
    }

    /// How many answers there were, by route and code: those there were, and those that are watched.
    pub fn responses(&self) -> impl Iterator<Item = (Route, Code, u64)> {
        let of_route = |route| (0..CODES).map(move |place| (route, place));
        let all = Route::ALL.into_iter().flat_map(of_route).map(|(route, place)| {
            let counts = self.answers.all().map(|answers| &answers.codes[route as usize][place]);
            let total: u64 = counts.map(|count| count.load(Ordering::Relaxed)).sum();
            (route, Code(CODES_KNOWN.get(place).copied()), total)
        });
        all.filter(|(route, code, total)| 0 < *total || code.is_always_shown(*route))
    }
}

impl Code {
    /// As it is shown.
    #[must_use]
    pub fn text(self) -> String {
        self.0.map_or_else(|| "other".to_owned(), |code| code.to_string())
    }

    fn is_always_shown(self, route: Route) -> bool {
        matches!(route, Route::Api | Route::Entry) && matches!(self.0, Some(200 | 500 | 503))
    }
}

fn place_of(code: u16) -> usize {
    let place = PLACES.get(usize::from(code).wrapping_sub(100)).copied();
    place.map_or(CODES_KNOWN.len(), usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_shape_without_keys() {
        for (path, shape) in [
            ("/api", "/api"),
            ("/api/cmd", "/api/cmd"),
            ("/v1/site/css/main.css", "/v1/{namespace}/{key}"),
            ("/v1/site", "/v1/{namespace}"),
            ("/", "/livez"),
            ("/supervision/shard-0/crash", "/supervision"),
            ("/apis", "other"),
            ("/v1", "other"),
        ] {
            assert_eq!(Route::of(path).text(), shape, "{path}");
        }
    }

    #[test]
    fn what_became_of_a_request_is_told_by_verb_code_and_whether_there_was_an_entry() {
        for (verb, code, is_missed, outcome) in [
            (Verb::Get, 200, false, Outcome::Hit),
            (Verb::Get, 200, true, Outcome::Miss),
            (Verb::Get, 304, false, Outcome::Hit),
            (Verb::Get, 404, false, Outcome::Miss),
            (Verb::Get, 412, false, Outcome::Refused),
            (Verb::Put, 201, true, Outcome::Ok),
            (Verb::Delete, 404, true, Outcome::Miss),
            (Verb::Other, 404, true, Outcome::Refused),
            (Verb::Put, 500, false, Outcome::Failed),
            (Verb::Put, 501, false, Outcome::Unsupported),
            (Verb::Get, 503, false, Outcome::Unavailable),
        ] {
            assert_eq!(Outcome::of(verb, code, is_missed), outcome, "{verb:?} {code} {is_missed}");
        }
    }

    #[test]
    fn every_code_is_counted_with_its_route() {
        let counts = HttpCounts::default();
        for code in (0..700).chain([u16::MAX]) {
            counts.answered(Route::Entry, code, Verb::Get, Outcome::Hit, Duration::ZERO);
            counts.refused(code);
        }
        let of = |route, text: &str| {
            let mut all = counts.responses();
            all.find(|(r, code, _)| *r == route && code.text() == text).map(|(_, _, total)| total)
        };
        assert_eq!((of(Route::Entry, "200"), of(Route::Other, "503")), (Some(1), Some(1)));
        assert_eq!(of(Route::Entry, "other"), Some(701 - CODES_KNOWN.len() as u64));
        assert_eq!((of(Route::Api, "503"), of(Route::Ready, "503")), (Some(0), None));
        let hits = counts.latencies().find(|(v, o, _)| (*v, *o) == (Verb::Get, Outcome::Hit));
        assert_eq!(hits.unwrap().2.count(), 701);
    }
}
