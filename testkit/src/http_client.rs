//! HTTP clients of tests and benches.

use rustls::crypto::ring;

/// A builder of a client that uses no proxy. It installs the TLS provider of the process first: without one, building a
/// client panics, for plain HTTP too.
pub fn http_client() -> reqwest::ClientBuilder {
    // An error means that the process has one.
    drop(ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy()
}
