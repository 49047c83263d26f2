//! Numbers of resource types: an index within one mapping, and the key that the database stores.

use serde::{Deserialize, Serialize};

/// Index of a resource in [`Mapping::resources`](super::Mapping::resources).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceIx(pub u32);

/// `dms.ResourceKey.ResourceKeyId`: the compact number of a resource type within one effective schema.
pub type ResourceKeyId = i16;
