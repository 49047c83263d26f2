//! Bodies of requests: flattened with the same result each time. The first byte selects the resource.

use crate::fixture::{MAPPING, documents};
use millstream_writer::{Validators, body};
use std::sync::LazyLock;

static VALIDATORS: LazyLock<Validators> =
    LazyLock::new(|| Validators::compile(&MAPPING).unwrap_or_else(|error| panic!("{error}")));

pub fn seeds() -> Vec<Vec<u8>> {
    documents().into_iter().map(|(resource, body)| [vec![resource], body.into_bytes()].concat()).collect()
}

pub fn read(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else { return };
    let resource = &MAPPING.resources[usize::from(*first) % MAPPING.resources.len()];
    if let Ok(planned) = body::plan(resource, &VALIDATORS, body) {
        assert_eq!(body::plan(resource, &VALIDATORS, body).ok(), Some(planned));
    }
}
