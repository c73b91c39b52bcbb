//! One request to a node and its answer, over a connection of its own.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ClientError;
use super::output::error_message;
use super::settings::Settings;
use super::target::Target;
use crate::limits::{CLIENT_ANSWER_BYTES_MAX, CLIENT_ANSWER_TIMEOUT, CLIENT_CONNECT_TIMEOUT};

/// What a node answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A node that can be asked.
pub(super) struct Node {
    settings: Settings,
}

impl Node {
    /// The node that `settings` name. Nothing is sent yet.
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Asks for `path_and_query` and returns the body of the answer, which had a status of success.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unreachable`] (nothing was sent), [`ClientError::NoAnswer`] or
    /// [`ClientError::Answer`] (what was asked for may have happened), [`ClientError::Status`] (the
    /// node's own word on it).
    pub(super) async fn ask(
        &self,
        method: Method,
        path_and_query: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Bytes, ClientError> {
        let json = body.as_ref().map(|_| (CONTENT_TYPE, "application/json".to_owned()));
        let answer = self.ask_with(method, path_and_query, json.as_slice(), body).await?;
        Ok(self.success(answer)?.body)
    }

    /// Asks for `path_and_query` with some fields, and returns the answer, whatever its status is.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`], but for the last one.
    pub(super) async fn ask_with(
        &self,
        method: Method,
        path_and_query: &str,
        fields: &[(HeaderName, String)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer, ClientError> {
        let request = self.request(method, path_and_query, fields, body)?;
        let stream = connect(&self.settings.target).await?;
        match timeout(CLIENT_ANSWER_TIMEOUT, self.exchange(stream, request)).await {
            Ok(answer) => answer,
            Err(_) => {
                let seconds = CLIENT_ANSWER_TIMEOUT.as_secs();
                Err(self.no_answer(&format!("waited {seconds} s")))
            }
        }
    }

    /// The answer, if its status is one of success.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] if not.
    pub(super) fn success(&self, answer: Answer) -> Result<Answer, ClientError> {
        if answer.status.is_success() {
            return Ok(answer);
        }
        let (status, message) = (answer.status.as_u16(), error_message(&answer.body));
        Err(ClientError::Status { url: self.url(), status, message })
    }

    /// What an answer says in JSON.
    ///
    /// # Errors
    ///
    /// [`ClientError::Answer`] if it is of another form.
    pub(super) fn read<'a, T: Deserialize<'a>>(&self, body: &'a [u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.unexpected(&error))
    }

    /// An error for an answer that is not what a smache node answers.
    pub(super) fn unexpected(&self, reason: &dyn ToString) -> ClientError {
        ClientError::Answer { url: self.url(), reason: reason.to_string() }
    }

    fn request(
        &self,
        method: Method,
        path_and_query: &str,
        fields: &[(HeaderName, String)],
        body: Option<Vec<u8>>,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path_and_query)
            .header(HOST, self.settings.target.authority());
        if let Some(token) = &self.settings.token {
            request = request.header(AUTHORIZATION, token.authorization());
        }
        for (name, text) in fields {
            let value = HeaderValue::from_str(text).map_err(|_| ClientError::Setting {
                setting: "a field",
                value: format!("{text:.40?}"),
                allowed: "visible ASCII characters".to_owned(),
            })?;
            request = request.header(name, value);
        }
        // The only part that is not checked yet is the key: a url holds 65,534 bytes.
        let body = Full::new(Bytes::from(body.unwrap_or_default()));
        request.body(body).map_err(|_| ClientError::Setting {
            setting: "KEY",
            value: "too long for a url".to_owned(),
            allowed: "less than 65,000 bytes when percent-encoded".to_owned(),
        })
    }

    async fn exchange(
        &self,
        stream: TcpStream,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, ClientError> {
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.no_answer(&error))?;
        let driver = tokio::spawn(connection);
        let answer = match sender.send_request(request).await {
            Ok(response) => self.receive(response).await,
            Err(error) => Err(self.no_answer(&error)),
        };
        driver.abort();
        answer
    }

    async fn receive(&self, response: Response<Incoming>) -> Result<Answer, ClientError> {
        let (head, body) = response.into_parts();
        let body = match Limited::new(body, CLIENT_ANSWER_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(self.unexpected(&format!("over {CLIENT_ANSWER_BYTES_MAX} bytes")));
            }
            Err(error) => return Err(self.no_answer(error.as_ref())),
        };
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    fn no_answer<E: std::fmt::Display + ?Sized>(&self, reason: &E) -> ClientError {
        ClientError::NoAnswer { url: self.url(), reason: reason.to_string() }
    }

    fn url(&self) -> String {
        self.settings.target.to_string()
    }
}

/// Opens a connection to `target`, trying each address of its name.
async fn connect(target: &Target) -> Result<TcpStream, ClientError> {
    let failed = |reason: String| ClientError::Unreachable { url: target.to_string(), reason };
    match timeout(CLIENT_CONNECT_TIMEOUT, TcpStream::connect(target.address())).await {
        Ok(Ok(stream)) => {
            // Only speed is lost if the system refuses.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(failed(io_reason(&error))),
        Err(_) => {
            Err(failed(format!("no connection within {} s", CLIENT_CONNECT_TIMEOUT.as_secs())))
        }
    }
}

/// What went wrong, in words: the kind where there is one, without the system's number.
pub(super) fn io_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    }
}
