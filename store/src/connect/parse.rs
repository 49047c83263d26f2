//! Connection strings: PostgreSQL URLs and key=value lists.
//!
//! The driver parses them, but it supports neither `verify-full` nor `sslrootcert`. This module removes those two
//! first; the driver gets the rest unchanged, in either spelling.

use std::path::PathBuf;
use std::str::FromStr;

use tokio_postgres::config::Host as DriverHost;

use super::options::{ConnectOptions, Host, SslMode};

/// A connection string that cannot be used. The message never repeats the string: it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("the database connection string is not usable: {reason}")]
pub struct InvalidOptions {
    reason: String,
}

impl InvalidOptions {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// The settings that the driver does not support.
#[derive(Default)]
struct TlsSettings {
    ssl_mode: Option<String>,
    ssl_root_cert: Option<String>,
}

impl TlsSettings {
    /// Takes the setting if it is one of these; returns whether it did.
    fn take(&mut self, key: &str, value: &str) -> bool {
        match key {
            "sslmode" => self.ssl_mode = Some(value.to_owned()),
            "sslrootcert" => self.ssl_root_cert = Some(value.to_owned()),
            _ => return false,
        }
        true
    }
}

impl FromStr for ConnectOptions {
    type Err = InvalidOptions;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text)
    }
}

fn parse(text: &str) -> Result<ConnectOptions, InvalidOptions> {
    let text = text.trim();
    let mut tls = TlsSettings::default();
    let rest = if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        strip_url(text, &mut tls)?
    } else {
        strip_pairs(text, &mut tls)?
    };
    let driver: tokio_postgres::Config = rest.parse().map_err(|error: tokio_postgres::Error| {
        let cause = error.into_source().map(|cause| cause.to_string());
        InvalidOptions::new(cause.unwrap_or_else(|| "it is neither postgres://… nor key=value pairs".to_owned()))
    })?;
    let host = single_host(&driver)?;
    let port = match driver.get_ports() {
        [] => 5432,
        [port] => *port,
        _ => return Err(InvalidOptions::new("it names several ports; name one")),
    };
    if driver.get_user().is_none_or(str::is_empty) {
        return Err(InvalidOptions::new("it names no user: write postgres://USER@HOST/DATABASE"));
    }
    let mut options = ConnectOptions::from_driver(driver, host, port);
    options.ssl_mode = ssl_mode(tls.ssl_mode.as_deref())?;
    options.ssl_root_cert = tls.ssl_root_cert.filter(|path| path != "system").map(PathBuf::from);
    if options.ssl_root_cert.is_some() && options.ssl_mode != SslMode::VerifyFull {
        return Err(InvalidOptions::new("sslrootcert is used by sslmode=verify-full only: set that too"));
    }
    Ok(options)
}

fn single_host(driver: &tokio_postgres::Config) -> Result<Host, InvalidOptions> {
    match driver.get_hosts() {
        [DriverHost::Tcp(name)] => Ok(Host::Tcp(name.clone())),
        #[cfg(unix)]
        [DriverHost::Unix(directory)] => Ok(Host::Unix(directory.clone())),
        [] => Err(InvalidOptions::new("it names no host: a host name, an address, or the directory of a socket")),
        _ => Err(InvalidOptions::new("it names several hosts; name the one that accepts writes")),
    }
}

fn ssl_mode(text: Option<&str>) -> Result<SslMode, InvalidOptions> {
    match text {
        None => Ok(SslMode::default()),
        Some("disable") => Ok(SslMode::Disable),
        Some("prefer") => Ok(SslMode::Prefer),
        Some("require") => Ok(SslMode::Require),
        Some("verify-full") => Ok(SslMode::VerifyFull),
        Some("verify-ca") => Err(InvalidOptions::new("sslmode=verify-ca is not offered: use verify-full")),
        Some(_) => Err(InvalidOptions::new("sslmode is one of disable, prefer, require, verify-full")),
    }
}

fn strip_url(url: &str, tls: &mut TlsSettings) -> Result<String, InvalidOptions> {
    let Some((base, query)) = url.split_once('?') else { return Ok(url.to_owned()) };
    let mut kept = Vec::new();
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !tls.take(key, &percent_decode(value)?) {
            kept.push(pair);
        }
    }
    Ok(if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) })
}

fn percent_decode(text: &str) -> Result<String, InvalidOptions> {
    let broken = || InvalidOptions::new("a percent sign in it is not followed by two hexadecimal digits of UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or_else(broken);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| broken())?);
    }
    String::from_utf8(bytes).map_err(|_| broken())
}

/// Removes the TLS settings from `key = value` pairs, where a value may be quoted and contain escapes.
fn strip_pairs(text: &str, tls: &mut TlsSettings) -> Result<String, InvalidOptions> {
    let mut kept = String::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once('=')
            .ok_or_else(|| InvalidOptions::new("it is neither postgres://… nor key=value pairs"))?;
        let (raw, value, after) = pair_value(after.trim_start())?;
        let key = key.trim();
        if !tls.take(key, &value) {
            kept.push_str(&format!("{key}={raw} "));
        }
        rest = after.trim_start();
    }
    Ok(kept)
}

/// Splits off the value at the front of `text`: as written, decoded, and the rest.
fn pair_value(text: &str) -> Result<(&str, String, &str), InvalidOptions> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices();
    if quoted {
        chars.next();
    }
    while let Some((at, character)) = chars.next() {
        match character {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((&text[..=at], value, &text[at + 1..])),
            space if !quoted && space.is_whitespace() => return Ok((&text[..at], value, &text[at..])),
            other => value.push(other),
        }
    }
    if quoted {
        return Err(InvalidOptions::new("a quoted value does not end"));
    }
    Ok((text, value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> ConnectOptions {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_url_and_pairs_say_the_same() {
        let url = options("postgres://ed:p%40ss@db.example:6432/ods?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem");
        let pairs = options(
            "host=db.example port = 6432 user=ed password='p@ss' dbname=ods sslmode='verify-full' sslrootcert=/etc/ca.pem",
        );
        for options in [url, pairs] {
            assert_eq!(options.host(), &Host::Tcp("db.example".to_owned()));
            assert_eq!((options.port(), options.user(), options.dbname()), (6432, "ed", "ods"));
            assert_eq!(options.password(), Some(b"p@ss".as_slice()));
            assert_eq!(options.ssl_mode(), SslMode::VerifyFull);
            assert_eq!(options.ssl_root_cert(), Some(std::path::Path::new("/etc/ca.pem")));
        }
    }

    #[test]
    fn a_socket_directory_and_defaults() {
        let options = options("host=/run/postgresql user=ed");
        assert_eq!(options.host(), &Host::Unix("/run/postgresql".into()));
        assert_eq!((options.port(), options.dbname(), options.ssl_mode()), (5432, "ed", SslMode::Prefer));
    }

    #[test]
    fn escapes_in_pairs_reach_the_driver() {
        let options = options(r"host=h user=ed password='a\'b \\c' sslmode=disable");
        assert_eq!(options.password(), Some(br"a'b \c".as_slice()));
        assert_eq!(options.ssl_mode(), SslMode::Disable);
    }

    #[test]
    fn the_password_is_never_shown() {
        let options = options("postgres://ed:sesame@h/ods");
        let shown = format!("{options} {options:?} {options:#?}");
        assert!(!shown.contains("sesame"), "{shown}");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_string() {
        for (text, expected) in [
            ("postgres://ed:sesame@h1,h2/ods", "several hosts"),
            ("postgres://ed:sesame@/ods", "no host"),
            ("postgres://h/ods?password=sesame", "no user"),
            ("postgres://ed:sesame@h/ods?sslmode=verify-ca", "use verify-full"),
            ("postgres://ed:sesame@h/ods?sslmode=maybe", "one of disable"),
            ("postgres://ed:sesame@h/ods?sslmode=require&sslrootcert=/ca.pem", "verify-full only"),
            ("postgres://ed:sesame@h/ods?sslrootcert=%2", "percent sign"),
            ("postgres://ed:sesame@h/ods?colour=red", "colour"),
            ("sesame", "key=value"),
            ("host=h user=ed password='sesame", "does not end"),
        ] {
            let message = match text.parse::<ConnectOptions>() {
                Ok(_) => panic!("{text} was accepted"),
                Err(error) => error.to_string(),
            };
            assert!(message.contains(expected) && !message.contains("sesame"), "{text}: {message}");
        }
    }
}
