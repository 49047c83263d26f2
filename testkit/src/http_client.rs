//! HTTP clients of tests and benches.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

/// A builder of a client that uses no proxy. It installs the TLS provider of the process first: without one, building a
/// client panics, for plain HTTP too.
pub fn http_client() -> reqwest::ClientBuilder {
    // An error means that the process has one.
    ring::default_provider().install_default().unwrap_or_else(|_: Arc<CryptoProvider>| ());
    reqwest::Client::builder().no_proxy()
}
