//! HELLO: who is on the other side of a new connection, and whether it knows the cookie.
//!
//! ```text
//! dialer                                   acceptor
//!   | -- hello: who I am, nonce ------------> |
//!   | <------------ hello: who I am, nonce -- |   or refusal
//!   | -- proof -----------------------------> |   or refusal
//!   | <------------- accept: proof, floor --- |   or refusal
//! ```
//! A hello begins with what every version reads: a magic, the first and the last protocol its sender
//! speaks, and the length of the record that follows. Behind the record is the sender's time: the
//! cluster's as it has it, in milliseconds. What a later version adds behind that is passed over. Both
//! go on in the greatest protocol they have in common.
//!
//! A proof is the HMAC-SHA-256, under the cookie, of the prover's role and both hellos as they were
//! sent. The dialer proves first, so that an acceptor gives nothing to guess the cookie by to who does
//! not know it. Roles keep a proof from being sent back, and nonces from being used again; a node that
//! meets itself stops before it proves. Whoever passes all bytes on between two nodes, and could
//! change those that follow, is kept out by encryption under the stream only.
//!
//! Everything here is pure: frames in, frames out.

use aws_lc_rs::hmac;

use super::codec;
use super::message::HelloRecord;
use super::protocol::Protocols;
use crate::clock::Millis;
use crate::config::Secret;
use crate::limits::{
    CLUSTER_NAME_BYTES_MAX, HELLO_BYTES_MAX, PEER_TEXT_BYTES_MAX, SOFTWARE_VERSION_BYTES_MAX,
};
use crate::member::{Member, NameTaken, NodeName};

/// Why there is no session with a peer, said by one side to the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// The proof was made with another cookie.
    #[error("wrong cookie")]
    Cookie,
    /// The nodes are of different clusters; this is the one that refuses.
    #[error("other cluster {0}")]
    Cluster(String),
    /// The nodes have no protocol in common; these are the ranges of both.
    #[error("no common protocol: {0}")]
    Protocol(String),
    /// The peer is this very run of this node.
    #[error("is this node itself")]
    Itself,
    /// There is a session already, or one is being made.
    #[error("already connected")]
    AlreadyConnected,
    /// There are too many peers.
    #[error("full")]
    Full,
    /// Another run has the name, and is there.
    #[error(transparent)]
    NameTaken(NameTaken),
}

/// Why a HELLO did not end with a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HelloError {
    /// This node refused the peer.
    #[error("refused here: {0}")]
    Here(Refused),
    /// The peer refused this node.
    #[error("refused by the peer: {0}")]
    There(Refused),
    /// What came is no HELLO.
    #[error("not a node: {0}")]
    Garbled(&'static str),
    /// The connection ended, or time was up.
    #[error("the connection ended early")]
    Broken,
}

/// What both sides know before a HELLO.
pub(super) struct Local {
    pub(super) me: Member,
    pub(super) cluster: String,
    pub(super) protocols: Protocols,
    pub(super) key: hmac::Key,
    pub(super) has_cookie: bool,
}

/// A peer by what it said of itself, and what can be spoken with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Introduced {
    pub(super) member: Member,
    /// The greatest protocol of both.
    pub(super) protocol: u16,
    /// The version of its software, for people.
    pub(super) version: String,
    /// The cluster's time as it has it, if it said it.
    pub(super) time: Option<Millis>,
}

/// What is new in each hello.
#[derive(Clone, Copy)]
pub(super) struct Fresh {
    pub(super) nonce: [u8; NONCE_BYTES],
    /// The cluster's time as this node has it.
    pub(super) time: Millis,
}

/// One message of a HELLO: its kind, two bytes of length, its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame(Vec<u8>);

/// A dialer that said hello.
pub(super) struct Dialer {
    hello: Frame,
}

/// A dialer that proved the cookie.
pub(super) struct DialerProving {
    transcript: Transcript,
}

/// An acceptor that said hello.
pub(super) struct Acceptor {
    transcript: Transcript,
}

/// An acceptor whose peer has proved the cookie.
pub(super) struct Accepting {
    transcript: Transcript,
}

/// Both hellos, the dialer's first.
struct Transcript(Vec<u8>);

/// Bytes before the body of a frame: what it is, and how long.
pub(super) const HEADER_BYTES: usize = 3;

const NONCE_BYTES: usize = 32;
const PROOF_BYTES: usize = 32;
const FLOOR_BYTES: usize = 8;
/// The version of this software, as it is said to peers.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const MAGIC: &[u8; 6] = b"smache";

const HELLO: u8 = 1;
const PROOF: u8 = 2;
const ACCEPT: u8 = 3;
const REFUSE: u8 = 4;
const TAKEN: u8 = 5;

const ROLE_DIALER: &[u8] = b"smache hello dialer\0";
const ROLE_ACCEPTOR: &[u8] = b"smache hello acceptor\0";
const ROLE_TAKEN: &[u8] = b"smache hello name taken\0";

impl Local {
    /// What is known with `cookie`, or without one.
    pub(super) fn new(me: Member, cluster: String, cookie: Option<&Secret>) -> Self {
        let secret = cookie.map_or(&[][..], Secret::as_bytes);
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let protocols = Protocols::OURS;
        Self { me, cluster, protocols, key, has_cookie: cookie.is_some() }
    }

    /// The same for a node that says something else of itself.
    pub(super) fn with(&self, me: Member) -> Self {
        let Self { me: _, cluster, protocols, key, has_cookie } = self;
        let (cluster, key) = (cluster.clone(), key.clone());
        Self { me, cluster, protocols: *protocols, key, has_cookie: *has_cookie }
    }

    fn hello(&self, Fresh { nonce, time }: Fresh) -> Result<Frame, HelloError> {
        let Member { id, incarnation, addr, http, weight, standing } = self.me.clone();
        let record = HelloRecord {
            cluster: self.cluster.clone(),
            id,
            incarnation,
            addr,
            http,
            weight,
            standing,
            has_cookie: self.has_cookie,
            version: VERSION.to_owned(),
            nonce,
        };
        let too_long = HelloError::Garbled("too long");
        let record = codec::encode(&record, 256).map_err(|_| too_long.clone())?;
        let len = u16::try_from(record.len()).map_err(|_| too_long)?.to_be_bytes();
        let time = time.0.to_be_bytes();
        let body = [&MAGIC[..], &self.protocols.to_bytes(), &len, &record, &time].concat();
        Ok(Frame::new(HELLO, &body))
    }

    /// Who said hello, if it may go on.
    fn meet(&self, frame: &Frame) -> Result<Introduced, HelloError> {
        let (theirs, record, time) = split_hello(frame.expect(HELLO)?)?;
        let ours = self.protocols;
        // Before anything else is read: it may be written in a way that is not known here.
        let Some(protocol) = ours.greatest_common(theirs) else {
            let ranges =
                format!("the one refused speaks {theirs}, the one that refuses speaks {ours}");
            return Err(HelloError::Here(Refused::Protocol(ranges)));
        };
        let record = read_record(record)?;
        let HelloRecord { id, incarnation, addr, http, weight, standing, .. } = record;
        let member = Member { id, incarnation, addr, http, weight, standing };
        if let Some(flaw) = member.flaw() {
            return Err(HelloError::Garbled(flaw));
        }
        if member.id.boot == self.me.id.boot {
            return Err(HelloError::Here(Refused::Itself));
        }
        if record.cluster != self.cluster {
            let clusters = format!("{}, here {}", record.cluster, self.cluster);
            return Err(HelloError::Here(Refused::Cluster(clusters)));
        }
        if record.has_cookie != self.has_cookie {
            return Err(HelloError::Here(Refused::Cookie));
        }
        Ok(Introduced { member, protocol, version: record.version, time })
    }

    fn proof(&self, role: &[u8], transcript: &Transcript, rest: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(role);
        context.update(&transcript.0);
        context.update(rest);
        context.sign()
    }

    /// Whether `proof` is that of `role`, in a time that does not tell how much of it is right.
    fn check(
        &self,
        role: &[u8],
        transcript: &Transcript,
        rest: &[u8],
        proof: &[u8],
    ) -> Result<(), HelloError> {
        let message = [role, &transcript.0, rest].concat();
        hmac::verify(&self.key, &message, proof).map_err(|_| HelloError::Here(Refused::Cookie))
    }
}

impl Dialer {
    /// Says hello.
    pub(super) fn start(local: &Local, fresh: Fresh) -> Result<(Self, Frame), HelloError> {
        let hello = local.hello(fresh)?;
        Ok((Self { hello: hello.clone() }, hello))
    }

    /// Hears who was dialled, and proves the cookie to it.
    pub(super) fn meet(
        self,
        local: &Local,
        answer: &Frame,
    ) -> Result<(DialerProving, Introduced, Frame), HelloError> {
        let peer = local.meet(answer)?;
        let transcript = Transcript::new(&self.hello, answer);
        let proof = local.proof(ROLE_DIALER, &transcript, &[]);
        let proof = Frame::new(PROOF, proof.as_ref());
        Ok((DialerProving { transcript }, peer, proof))
    }
}

impl DialerProving {
    /// Hears whether it is accepted by one who knows the cookie too, and returns the incarnation it
    /// has to exceed.
    pub(super) fn finish(self, local: &Local, verdict: &Frame) -> Result<u64, HelloError> {
        if let Ok(taken) = verdict.expect(TAKEN) {
            return Err(self.taken(local, taken));
        }
        let body = verdict.expect(ACCEPT)?;
        let Some((proof, floor)) = body.split_at_checked(PROOF_BYTES) else {
            return Err(HelloError::Garbled("accept is too short"));
        };
        let Ok(floor) = <[u8; FLOOR_BYTES]>::try_from(floor) else {
            return Err(HelloError::Garbled("accept has another length"));
        };
        local.check(ROLE_ACCEPTOR, &self.transcript, &floor, proof)?;
        Ok(u64::from_be_bytes(floor))
    }
}

impl DialerProving {
    /// Hears that another run has the name of this one: a run may end by that, so that it counts only
    /// from who knows the cookie.
    fn taken(self, local: &Local, body: &[u8]) -> HelloError {
        let Some((proof, rest)) = body.split_at_checked(PROOF_BYTES) else {
            return HelloError::Garbled("name taken is too short");
        };
        if let Err(error) = local.check(ROLE_TAKEN, &self.transcript, rest, proof) {
            return error;
        }
        let number = |bytes: &[u8; 8]| u64::from_be_bytes(*bytes);
        let Some((incarnation, rest)) = rest.split_first_chunk().map(|(n, rest)| (number(n), rest))
        else {
            return HelloError::Garbled("name taken is too short");
        };
        let Some((heard_ms_ago, addr)) =
            rest.split_first_chunk().map(|(n, rest)| (number(n), rest))
        else {
            return HelloError::Garbled("name taken is too short");
        };
        let addr = String::from_utf8_lossy(addr).into_owned();
        HelloError::There(Refused::NameTaken(NameTaken { incarnation, addr, heard_ms_ago }))
    }
}

impl Acceptor {
    /// Hears who has dialled, and says hello.
    pub(super) fn meet(
        local: &Local,
        fresh: Fresh,
        hello: &Frame,
    ) -> Result<(Self, Introduced, Frame), HelloError> {
        let peer = local.meet(hello)?;
        let answer = local.hello(fresh)?;
        let transcript = Transcript::new(hello, &answer);
        Ok((Self { transcript }, peer, answer))
    }

    /// Hears the proof of who has dialled.
    pub(super) fn check(self, local: &Local, proof: &Frame) -> Result<Accepting, HelloError> {
        local.check(ROLE_DIALER, &self.transcript, &[], proof.expect(PROOF)?)?;
        Ok(Accepting { transcript: self.transcript })
    }
}

impl Accepting {
    /// Accepts who has dialled, and proves the cookie to it.
    pub(super) fn accept(self, local: &Local, floor: u64) -> Frame {
        let floor = floor.to_be_bytes();
        let proof = local.proof(ROLE_ACCEPTOR, &self.transcript, &floor);
        Frame::new(ACCEPT, &[proof.as_ref(), &floor].concat())
    }
}

impl Accepting {
    /// Refuses who has dialled as its name is taken, and proves the cookie to it.
    pub(super) fn refuse_name(self, local: &Local, taken: &NameTaken) -> Frame {
        let NameTaken { incarnation, addr, heard_ms_ago } = taken;
        let addr = &addr.as_bytes()[..addr.len().min(PEER_TEXT_BYTES_MAX)];
        let rest = [&incarnation.to_be_bytes()[..], &heard_ms_ago.to_be_bytes(), addr].concat();
        let proof = local.proof(ROLE_TAKEN, &self.transcript, &rest);
        Frame::new(TAKEN, &[proof.as_ref(), &rest].concat())
    }
}

impl Transcript {
    fn new(dialer: &Frame, acceptor: &Frame) -> Self {
        // Frames say how long they are, so that the two cannot be cut in another way.
        Self([&dialer.0[..], &acceptor.0].concat())
    }
}

impl Frame {
    fn new(kind: u8, body: &[u8]) -> Self {
        // Bodies are made here and far below what two bytes say.
        let len = u16::try_from(body.len()).unwrap_or(u16::MAX);
        let mut frame = Vec::with_capacity(HEADER_BYTES + body.len());
        frame.push(kind);
        frame.extend_from_slice(&len.to_be_bytes());
        frame.extend_from_slice(body);
        Self(frame)
    }

    /// A frame that says why there is no session.
    pub(super) fn refuse(refused: &Refused) -> Self {
        let (code, text) = match refused {
            Refused::Cookie => (1, ""),
            Refused::Cluster(name) => (2, name.as_str()),
            Refused::Protocol(protocols) => (3, protocols.as_str()),
            Refused::Itself => (4, ""),
            Refused::AlreadyConnected => (5, ""),
            Refused::Full => (6, ""),
            // The dialer of a session that was accepted says so; acceptors say more, and prove it.
            Refused::NameTaken(taken) => (7, taken.addr.as_str()),
        };
        let text = text.as_bytes();
        let text = &text[..text.len().min(PEER_TEXT_BYTES_MAX)];
        Self::new(REFUSE, &[&[code][..], text].concat())
    }

    /// How long the body is that follows a header.
    ///
    /// # Errors
    ///
    /// [`HelloError::Garbled`] if there is no such frame; nothing has to be read of it.
    pub(super) fn body_bytes(header: [u8; HEADER_BYTES]) -> Result<usize, HelloError> {
        let [kind, high, low] = header;
        let len = usize::from(u16::from_be_bytes([high, low]));
        if !(HELLO..=TAKEN).contains(&kind) || HELLO_BYTES_MAX < HEADER_BYTES + len {
            return Err(HelloError::Garbled("the first bytes are of something else"));
        }
        Ok(len)
    }

    /// The frame that was read, header and body.
    pub(super) fn from_read(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What is sent.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The body, if it is of this kind.
    /// What the sender of a hello says it is called, whether it is believed or not; `None` if it is no
    /// hello that can be read.
    pub(super) fn claims(&self) -> Option<NodeName> {
        let (_, record, _) = split_hello(self.expect(HELLO).ok()?).ok()?;
        read_record(record).ok().map(|record| record.id.name)
    }

    fn expect(&self, kind: u8) -> Result<&[u8], HelloError> {
        match self.0.split_first_chunk::<HEADER_BYTES>() {
            Some(([found, ..], body)) if *found == kind => Ok(body),
            Some(([REFUSE, ..], body)) => Err(HelloError::There(read_refusal(body)?)),
            Some(_) | None => Err(HelloError::Garbled("another message was due")),
        }
    }
}

/// The protocols of who says hello, its record, and its time.
fn split_hello(body: &[u8]) -> Result<(Protocols, &[u8], Option<Millis>), HelloError> {
    let Some(rest) = body.strip_prefix(MAGIC) else {
        return Err(HelloError::Garbled("hello is of something else"));
    };
    let too_short = HelloError::Garbled("hello is too short");
    let Some((range, rest)) = rest.split_first_chunk() else { return Err(too_short) };
    let Some(protocols) = Protocols::from_bytes(*range) else {
        return Err(HelloError::Garbled("hello has no protocol"));
    };
    // One of another protocol may go on in another way, and is told why it cannot.
    let record = rest.split_first_chunk().and_then(|(len, rest)| {
        let len = usize::from(u16::from_be_bytes(*len));
        rest.split_at_checked(len)
    });
    let (record, rest) = record.unwrap_or_default();
    let time = rest.first_chunk().map(|time| Millis(u64::from_be_bytes(*time)));
    Ok((protocols, record, time))
}

/// What is said in a hello, if it can be said in a log.
fn read_record(record: &[u8]) -> Result<HelloRecord, HelloError> {
    let record: HelloRecord =
        codec::decode(record).map_err(|_| HelloError::Garbled("hello cannot be read"))?;
    let HelloRecord { cluster, version, .. } = &record;
    let mut bytes = cluster.bytes().chain(version.bytes());
    let is_plain = bytes.all(|byte| byte.is_ascii_graphic());
    let is_short =
        cluster.len() <= CLUSTER_NAME_BYTES_MAX && version.len() <= SOFTWARE_VERSION_BYTES_MAX;
    match is_plain && is_short {
        true => Ok(record),
        false => Err(HelloError::Garbled("hello names no cluster or version")),
    }
}

fn read_refusal(body: &[u8]) -> Result<Refused, HelloError> {
    let Some((code, text)) = body.split_first() else {
        return Err(HelloError::Garbled("refusal is too short"));
    };
    // It goes to a log, from one who has proved nothing.
    let text = text.iter().take(PEER_TEXT_BYTES_MAX).map(|byte| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '?',
    });
    let text = text.collect();
    match code {
        1 => Ok(Refused::Cookie),
        2 => Ok(Refused::Cluster(text)),
        3 => Ok(Refused::Protocol(text)),
        4 => Ok(Refused::Itself),
        5 => Ok(Refused::AlreadyConnected),
        6 => Ok(Refused::Full),
        7 => Ok(Refused::NameTaken(NameTaken { incarnation: 0, addr: text, heard_ms_ago: 0 })),
        _ => Err(HelloError::Garbled("refusal has no reason")),
    }
}

#[cfg(test)]
mod tests;
