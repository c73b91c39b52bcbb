//! How a connection ends: what is still read, and what is done with it once all is answered.
//!
//! A client that ends what it sends has not left: it waits for its answers (RFC 9112, 9.6). And who
//! closes a socket on which bytes were not read resets it, which takes from the client what it has not
//! read either. So both sides end in two steps: first no more requests come, then, once they are
//! answered, the connection is kept until the client has heard that it is over.

use std::time::Duration;

use crate::door::Phase;
use crate::limits::{HTTP_LINGER_LEAVING_TIMEOUT, HTTP_LINGER_PAUSE};

/// How far a connection is with its ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Ending {
    /// Requests are read and answered.
    Open = 0,
    /// The node goes: what was sent before the client can know is still read, and every answer says
    /// that it is the last.
    LastCall = 1,
    /// No further request is read. What has begun to come is answered.
    Shut = 2,
    /// The client has ended what it sends, and all of it was read.
    Heard = 3,
}

/// What hyper's part ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All that was asked is answered.
    Answered,
    /// Something that is not HTTP, or more of it than is allowed, and the client was told.
    Refused,
    /// The connection broke, or an answer did.
    Broken,
    /// A deadline has passed, or the door is closed.
    Cut,
}

/// What is done with the socket in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// It is closed at once.
    Close,
    /// It is closed once the client has ended its side, or sent nothing for so long.
    Linger(Duration),
}

impl Ending {
    pub(super) fn of(number: u8) -> Self {
        match number {
            0 => Self::Open,
            1 => Self::LastCall,
            2 => Self::Shut,
            _ => Self::Heard,
        }
    }

    /// The node begins to go.
    pub(super) fn called(self) -> Self {
        match self {
            Self::Open => Self::LastCall,
            Self::LastCall | Self::Shut | Self::Heard => self,
        }
    }

    /// What was sent before the client could know has had time to arrive.
    pub(super) fn call_ended(self) -> Self {
        match self {
            Self::LastCall => Self::Shut,
            Self::Open | Self::Shut | Self::Heard => self,
        }
    }

    /// The end of what the client sends was read.
    pub(super) fn heard(self) -> Self {
        Self::Heard
    }

    /// Whether the end of the requests is here where nothing of one has come.
    pub(super) fn takes_no_more(self) -> bool {
        matches!(self, Self::Shut | Self::Heard)
    }

    /// What is done with the socket after `outcome`, in a door that is in `phase`.
    pub(super) fn farewell(self, outcome: Outcome, phase: Phase) -> Farewell {
        match (outcome, self) {
            // Nobody reads what was sent in vain, and nothing of the client is unread.
            (Outcome::Broken | Outcome::Cut, _) | (_, Self::Heard) => Farewell::Close,
            (Outcome::Answered | Outcome::Refused, Self::Open | Self::LastCall | Self::Shut) => {
                patience(phase).map_or(Farewell::Close, Farewell::Linger)
            }
        }
    }
}

/// How long a client that is told nothing more may be silent before it is left; `None` for not at
/// all.
pub(super) fn patience(phase: Phase) -> Option<Duration> {
    match phase {
        Phase::Open | Phase::Leaving => Some(HTTP_LINGER_PAUSE),
        Phase::Draining | Phase::Shut => Some(HTTP_LINGER_LEAVING_TIMEOUT),
        Phase::Closed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Ending; 4] = [Ending::Open, Ending::LastCall, Ending::Shut, Ending::Heard];

    #[test]
    fn a_node_that_goes_reads_what_was_sent_before_it_reads_no_more() {
        let called = Ending::Open.called();
        assert_eq!((called, called.takes_no_more()), (Ending::LastCall, false));
        let shut = called.call_ended();
        assert_eq!((shut, shut.takes_no_more()), (Ending::Shut, true));
        assert_eq!(Ending::Open.call_ended(), Ending::Open);
    }

    #[test]
    fn an_ending_never_goes_back() {
        for ending in ALL {
            for next in [ending.called(), ending.call_ended(), ending.heard()] {
                assert!(ending as u8 <= next as u8, "{ending:?} {next:?}");
            }
            assert_eq!(Ending::of(ending as u8), ending);
        }
    }

    #[test]
    fn only_where_the_client_has_ended_its_side_may_an_answer_be_left_alone() {
        for outcome in [Outcome::Answered, Outcome::Refused] {
            assert_eq!(Ending::Heard.farewell(outcome, Phase::Open), Farewell::Close);
            for ending in [Ending::Open, Ending::LastCall, Ending::Shut] {
                let farewell = |phase| ending.farewell(outcome, phase);
                assert_eq!(farewell(Phase::Open), Farewell::Linger(HTTP_LINGER_PAUSE));
                let short = Farewell::Linger(HTTP_LINGER_LEAVING_TIMEOUT);
                assert_eq!(farewell(Phase::Draining), short);
                assert_eq!(farewell(Phase::Closed), Farewell::Close);
            }
        }
    }

    #[test]
    fn what_broke_or_was_cut_is_closed_at_once() {
        for ending in ALL {
            for outcome in [Outcome::Broken, Outcome::Cut] {
                assert_eq!(ending.farewell(outcome, Phase::Open), Farewell::Close);
            }
        }
    }
}
