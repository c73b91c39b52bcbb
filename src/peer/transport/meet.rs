//! HELLO over a socket, from either side.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Shared;
use super::sessions::Taken;
use crate::clock;
use crate::entry::Millis;
use crate::member::{Boot, Member, NodeName};
use crate::peer::hello::{
    Acceptor, Dialer, Frame, Fresh, HEADER_BYTES, HelloError, Introduced, Refused,
};
use crate::peer::session::Session;
use crate::peer::stream;

/// A connection whose HELLO went well.
pub(super) struct Met {
    pub(super) stream: TcpStream,
    pub(super) peer: Introduced,
    pub(super) slot: Taken,
    /// The incarnation the dialer has to exceed.
    pub(super) floor: u64,
    /// Sessions with other runs of the same node, which this one takes the place of.
    pub(super) replaced: Vec<Arc<Session>>,
}

impl Shared {
    /// Says hello to who was dialled. Who it claims to be is told also where it is not believed.
    pub(super) async fn dial_hello(
        &self,
        mut stream: TcpStream,
        claims: &mut Option<NodeName>,
    ) -> Result<Met, HelloError> {
        let met = self.dial_hello_on(&mut stream, claims).await;
        let (peer, slot, floor) = tell(met, &mut stream).await?;
        let replaced = self.sessions.of_name(peer.member.id.name.as_str());
        Ok(Met { stream, peer, slot, floor, replaced })
    }

    async fn dial_hello_on(
        &self,
        stream: &mut TcpStream,
        claims: &mut Option<NodeName>,
    ) -> Result<(Introduced, Taken, u64), HelloError> {
        let local = self.local();
        stream::set_up(stream).map_err(|_| HelloError::Broken)?;
        let (dialer, hello) = Dialer::start(&local, fresh()?)?;
        write(stream, &hello).await?;
        let hello = read(stream).await?;
        *claims = hello.claims();
        let (proving, peer, proof) = dialer.meet(&local, &hello)?;
        let heard = clock::now();
        self.stall_if_cut(&peer.member).await;
        self.outlast_what_ends(peer.member.id.boot).await;
        let slot = self.sessions.begin_dial(&peer.member.id, self.next_serial());
        let slot = slot.map_err(HelloError::Here)?;
        write(stream, &proof).await?;
        let floor = proving.finish(&local, &read(stream).await?)?;
        // A run that was replaced may still answer where it was dialled.
        let admitted = self.admission.admit(&peer.member);
        admitted.map_err(|taken| HelloError::Here(Refused::NameTaken(taken)))?;
        self.compare_times(&peer, heard);
        Ok((peer, slot, floor))
    }

    /// Says hello to who has dialled.
    pub(super) async fn accept_hello(
        &self,
        mut stream: TcpStream,
        claims: &mut Option<NodeName>,
    ) -> Result<Met, HelloError> {
        let met = self.accept_hello_on(&mut stream, claims).await;
        let (peer, slot, floor) = tell(met, &mut stream).await?;
        let mut replaced = self.sessions.of_name(peer.member.id.name.as_str());
        replaced.retain(|session| session.serial != slot.serial());
        Ok(Met { stream, peer, slot, floor, replaced })
    }

    async fn accept_hello_on(
        &self,
        stream: &mut TcpStream,
        claims: &mut Option<NodeName>,
    ) -> Result<(Introduced, Taken, u64), HelloError> {
        let local = self.local();
        stream::set_up(stream).map_err(|_| HelloError::Broken)?;
        let hello = read(stream).await?;
        *claims = hello.claims();
        let (acceptor, peer, hello) = Acceptor::meet(&local, fresh()?, &hello)?;
        let heard = clock::now();
        write(stream, &hello).await?;
        let accepting = acceptor.check(&local, &read(stream).await?)?;
        self.stall_if_cut(&peer.member).await;
        let floor = match self.admission.admit(&peer.member) {
            Ok(floor) => floor,
            Err(taken) => {
                write(stream, &accepting.refuse_name(&local, &taken)).await?;
                return Err(HelloError::Here(Refused::NameTaken(taken)));
            }
        };
        self.compare_times(&peer, heard);
        self.outlast_what_ends(peer.member.id.boot).await;
        let slot = self.sessions.begin_accept(&self.id, &peer.member.id, self.next_serial());
        let slot = slot.map_err(HelloError::Here)?;
        write(stream, &accepting.accept(&local, floor)).await?;
        Ok((peer, slot, floor))
    }

    /// Has the time of a peer that was admitted compared with ours, which was `heard` as it came.
    fn compare_times(&self, peer: &Introduced, heard: Millis) {
        if let Some(time) = peer.time {
            self.admission.met(&peer.member, time, heard);
        }
    }

    /// Waits until a session that is ending has left its slot, for as long as a HELLO may take: or
    /// two nodes that dial each other then would both be told that they are connected already.
    async fn outlast_what_ends(&self, boot: Boot) {
        if let Some(session) = self.sessions.ending(boot) {
            session.ended().await;
        }
    }

    /// Goes no further while the connection to that node is cut on purpose, as what is sent over a
    /// cable that is out. Whoever says this HELLO does not wait for ever.
    async fn stall_if_cut(&self, peer: &Member) {
        self.disturbances.of(peer.id.name.as_str()).healed().await;
    }
}

/// Tells the peer what this node refused.
async fn tell<T>(met: Result<T, HelloError>, stream: &mut TcpStream) -> Result<T, HelloError> {
    if let Err(HelloError::Here(refused)) = &met {
        // It is gone if it does not hear it.
        drop(write(stream, &Frame::refuse(refused)).await);
        drop(stream.shutdown().await);
    }
    met
}

fn fresh() -> Result<Fresh, HelloError> {
    let mut nonce = [0; 32];
    // A node without random numbers did not start.
    getrandom::fill(&mut nonce).map_err(|_| HelloError::Broken)?;
    Ok(Fresh { nonce, time: clock::cluster(clock::now()) })
}

async fn write(stream: &mut TcpStream, frame: &Frame) -> Result<(), HelloError> {
    stream.write_all(frame.as_bytes()).await.map_err(|_| HelloError::Broken)
}

/// Reads one frame, and nothing behind it.
async fn read(stream: &mut TcpStream) -> Result<Frame, HelloError> {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).await.map_err(|_| HelloError::Broken)?;
    let len = Frame::body_bytes(header)?;
    let mut frame = vec![0; HEADER_BYTES + len];
    frame[..HEADER_BYTES].copy_from_slice(&header);
    stream.read_exact(&mut frame[HEADER_BYTES..]).await.map_err(|_| HelloError::Broken)?;
    Ok(Frame::from_read(frame))
}
