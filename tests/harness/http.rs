//! A blocking HTTP/1.1 client that also sends what no proper client would.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longer than any deadline that is waited for here.
const TIMEOUT: Duration = Duration::from_secs(20);

pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_else(|| panic!("no message: {self:?}")).to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr).unwrap()
    }

    /// # Errors
    ///
    /// If nobody accepts the connection.
    pub fn try_connect(addr: SocketAddr) -> io::Result<Self> {
        Self::try_connect_within(addr, TIMEOUT)
    }

    /// As [`Self::try_connect`], for who waits no longer than that for anything.
    ///
    /// # Errors
    ///
    /// If nobody accepts the connection in time.
    pub fn try_connect_within(addr: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        Ok(Self { stream, received: vec![] })
    }

    pub fn request(&mut self, method: &str, target: &str, body: &str) -> Response {
        self.request_with(method, target, &[], body)
    }

    pub fn request_with(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        self.try_request(method, target, headers, body).unwrap()
    }

    /// # Errors
    ///
    /// If the connection ends before the answer does.
    pub fn try_request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Response> {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += "host: localhost\r\n";
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n{body}", body.len());
        self.send(head.as_bytes())?;
        self.receive_for(method)
    }

    /// # Errors
    ///
    /// If the connection is over.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Ends what is sent, and not what is received.
    pub fn end_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Waits until something comes, and keeps it.
    ///
    /// # Errors
    ///
    /// If the connection ends before.
    pub fn receive_some(&mut self) -> io::Result<()> {
        self.fill()
    }

    /// All that comes until the other side ends the connection.
    ///
    /// # Errors
    ///
    /// If it is reset.
    pub fn receive_all(&mut self) -> io::Result<Vec<u8>> {
        let mut all = std::mem::take(&mut self.received);
        self.stream.read_to_end(&mut all)?;
        Ok(all)
    }

    /// # Errors
    ///
    /// If the connection ends before the answer does.
    pub fn receive(&mut self) -> io::Result<Response> {
        self.receive_for("GET")
    }

    /// # Errors
    ///
    /// If the connection ends before the answer does.
    pub fn receive_for(&mut self, method: &str) -> io::Result<Response> {
        let end = loop {
            match self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.fill()?,
            }
        };
        let head = String::from_utf8(self.received[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut response = Response { status, head, body: String::new() };
        let has_body = method != "HEAD" && status != 304;
        let length = response.header("content-length").filter(|_| has_body);
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while self.received.len() < end + length {
            self.fill()?;
        }
        response.body = String::from_utf8(self.received[end..end + length].to_vec()).unwrap();
        self.received.drain(..end + length);
        Ok(response)
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.received.extend_from_slice(&chunk[..read]);
                Ok(())
            }
        }
    }

    /// Whether any byte of an answer is there.
    pub fn has_received(&self) -> bool {
        !self.received.is_empty()
    }

    /// Whether the other side has ended this connection by now, without waiting for it.
    ///
    /// # Errors
    ///
    /// If the connection is broken.
    pub fn has_ended(&self) -> io::Result<bool> {
        self.stream.set_nonblocking(true)?;
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false)?;
        match peeked {
            Ok(bytes) => Ok(bytes == 0),
            Err(quiet) if quiet.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(broken) => Err(broken),
        }
    }

    /// Whether the other side ended this connection, without having answered anything more.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.fill(), Err(end) if end.kind() != io::ErrorKind::WouldBlock)
    }
}
