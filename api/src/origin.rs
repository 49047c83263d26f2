//! Web origins: scheme, host and port (RFC 6454).

use axum::http::uri::Authority;
use std::net::IpAddr;

/// Scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    is_https: bool,
    /// In lower case, without brackets and without a final dot.
    pub(crate) host: String,
    port: u16,
}

impl Origin {
    /// Parses `http://host[:port]` or `https://host[:port]`; ignores a path.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_https = match scheme {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        Self::new(is_https, &rest.split('/').next()?.parse().ok()?)
    }

    /// The origin of an authority; `None` if it has a user, no host, or a port that is not a number of 16 bits.
    pub(crate) fn new(is_https: bool, authority: &Authority) -> Option<Self> {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let port = authority.port_u16();
        let has_bad_port = port.is_none() && authority.as_str() != authority.host();
        if host.is_empty() || has_bad_port || authority.as_str().contains('@') {
            return None;
        }
        Some(Self { is_https, host, port: port.unwrap_or(if is_https { 443 } else { 80 }) })
    }

    /// Whether the host is a loopback address or a name that always means one (RFC 6761, 6.3).
    pub(crate) fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }
}
