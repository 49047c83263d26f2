//! A found document.

use bytes::Bytes;
use uuid::Uuid;

/// A document that a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its id.
    pub uuid: Uuid,
    /// The version that the copy holds.
    pub version: i64,
    /// Its body, equal to the response of a GET of this version.
    pub body: Bytes,
}
