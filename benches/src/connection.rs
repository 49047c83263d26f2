//! A minimal HTTP client: it shares the machine with the process that it measures, so it must cost little.
//!
//! It supports sequential requests on one keep-alive connection and responses with a known length, and nothing else.

use crate::failure::Failure;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16_384) })
    }

    /// Sends a GET and reads the whole response; returns its status.
    pub(crate) async fn get(&mut self, path: &str) -> Result<u16, Failure> {
        self.request(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await
    }

    /// Sends a request and reads the whole response; returns its status.
    pub(crate) async fn request(&mut self, request: &str) -> Result<u16, Failure> {
        self.request_bytes(request.as_bytes()).await
    }

    /// Like [`Connection::request`].
    pub(crate) async fn request_bytes(&mut self, request: &[u8]) -> Result<u16, Failure> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the connection was closed within a response".into());
            }
        };
        let text = std::str::from_utf8(&self.buffer[..head])?;
        let status: u16 = text.split(' ').nth(1).ok_or("no status")?.parse()?;
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        let end = head + length.unwrap_or(0);
        while self.buffer.len() < end {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the connection was closed within a body".into());
            }
        }
        Ok(status)
    }

    /// Returns the body of the last response.
    pub(crate) fn body(&self) -> &[u8] {
        let head = self.buffer.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
        &self.buffer[head..]
    }

    /// Returns a header of the last response.
    pub(crate) fn header(&self, wanted: &str) -> Option<&str> {
        let head = self.buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
        let text = std::str::from_utf8(&self.buffer[..head]).ok()?;
        let headers = text.lines().filter_map(|line| line.split_once(':'));
        headers.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    }

    /// Replaces a document with a JSON body; returns its new version.
    pub(crate) async fn put(&mut self, path: &str, body: &str) -> Result<i64, Failure> {
        let request = format!(
            "PUT {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let status = self.request(&request).await?;
        if status != 204 {
            return Err(format!("PUT {path} returned status {status}: {}", String::from_utf8_lossy(self.body())).into());
        }
        let etag = self.header("etag").ok_or("the response to a write has no ETag")?;
        Ok(etag.trim_matches('"').parse()?)
    }

    /// Sends a GET and parses the JSON response.
    pub(crate) async fn json(&mut self, path: &str) -> Result<serde_json::Value, Failure> {
        let status = self.get(path).await?;
        if status != 200 {
            return Err(format!("GET {path} returned status {status}: {}", String::from_utf8_lossy(self.body())).into());
        }
        Ok(serde_json::from_slice(self.body())?)
    }
}

/// Returns the status of one GET on a new connection.
pub(crate) async fn status_of(address: SocketAddr, path: &str) -> Result<u16, Failure> {
    Connection::open(address).await?.get(path).await
}

/// Percent-encodes a query parameter.
pub(crate) fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
