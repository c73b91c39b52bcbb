//! What an answer, or the lack of one, says about an operation.

use serde_json::Value;

use super::history::{Outcome, What};
use crate::http::Response;

/// What came back.
pub enum Heard {
    Answer(Response),
    /// Nobody took the connection, so that nothing was sent.
    Nobody(String),
    /// The connection broke, or nothing came in time.
    Broken(String),
}

/// The value with a number under a key. It names the key, so that one that strays is known.
pub fn value_of(key: &str, n: u64) -> String {
    format!("{key} {n}")
}

/// The outcome of an operation on `key`, and what to note of it.
pub fn outcome_of(what: What, key: &str, heard: &Heard) -> (Outcome, String) {
    let answer = match heard {
        Heard::Nobody(why) => return (Outcome::Refused, why.clone()),
        Heard::Broken(why) => return (Outcome::Unknown, why.clone()),
        Heard::Answer(answer) => answer,
    };
    let outcome = match (what, answer.status) {
        (_, 503) if answer.body.contains("may have happened") => Outcome::Unknown,
        (_, 503) => Outcome::Refused,
        (What::Read, 200) => number_in(key, &answer.body).map_or(Outcome::Strange, Outcome::Found),
        (What::Read, 404) => Outcome::Absent,
        (What::Put { .. }, 201) => Outcome::Stored { is_new: true },
        (What::Put { .. }, 204) => Outcome::Stored { is_new: false },
        (What::Delete, 204) => Outcome::Deleted { was_there: true },
        (What::Delete, 404) => Outcome::Deleted { was_there: false },
        (What::NewId { .. }, 200) => id_in(&answer.body).map_or(Outcome::Strange, Outcome::Id),
        _ => Outcome::Strange,
    };
    let note = match outcome {
        Outcome::Unknown | Outcome::Refused | Outcome::Strange => {
            format!("{} {}", answer.status, answer.body)
        }
        _ => String::new(),
    };
    (outcome, note)
}

fn number_in(key: &str, body: &str) -> Option<u64> {
    body.strip_prefix(key)?.strip_prefix(' ')?.parse().ok()
}

fn id_in(body: &str) -> Option<u64> {
    serde_json::from_str::<Value>(body).ok()?["id"].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: What = What::Put { n: 1, ttl: None };

    fn told(what: What, status: u16, body: &str) -> Outcome {
        let answer = Response { status, head: String::new(), body: body.to_owned() };
        outcome_of(what, "k", &Heard::Answer(answer)).0
    }

    #[test]
    fn an_answer_says_what_was_done() {
        assert_eq!(told(What::Read, 200, "k 7"), Outcome::Found(7));
        assert_eq!(told(What::Read, 404, ""), Outcome::Absent);
        assert_eq!(told(PUT, 201, ""), Outcome::Stored { is_new: true });
        assert_eq!(told(What::Delete, 404, ""), Outcome::Deleted { was_there: false });
        assert_eq!(told(What::NewId { n: 1 }, 200, r#"{"id":3,"data":{}}"#), Outcome::Id(3));
    }

    #[test]
    fn a_value_of_another_key_and_an_answer_nobody_expects_are_strange() {
        assert_eq!(told(What::Read, 200, "l 7"), Outcome::Strange);
        assert_eq!(told(What::Read, 200, "k"), Outcome::Strange);
        assert_eq!(told(PUT, 500, ""), Outcome::Strange);
    }

    #[test]
    fn only_who_says_so_or_was_not_reached_has_certainly_done_nothing() {
        assert_eq!(told(PUT, 503, "it cannot be reached; try again"), Outcome::Refused);
        assert_eq!(told(PUT, 503, "the write may have happened"), Outcome::Unknown);
        let nobody = Heard::Nobody(String::new());
        assert_eq!(outcome_of(PUT, "k", &nobody).0, Outcome::Refused);
        let broken = Heard::Broken(String::new());
        assert_eq!(outcome_of(PUT, "k", &broken).0, Outcome::Unknown);
    }
}
