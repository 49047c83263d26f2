//! Encoding of resources, fields and values as terms and column entries, whose bytes have the order of the values.
//!
//! Resources and fields are identified by digests of their names and kinds, not by their numbers. Numbers change with
//! the schema; with digests an older index still finds what it contains.

use millstream_schema::referential::lower_uri;
use millstream_search::{
    CollectionIx, Comparison, Decimal, FieldIx, FieldKind, SearchModel, SearchResource, Value, code_of,
};
use sha2::{Digest, Sha256};
use std::ops::Bound::{self, Excluded, Included};

/// The digest of a resource, a collection or a field.
pub(super) type NameDigest = [u8; 8];

/// The kind of tombstones.
pub(super) const TOMBSTONE: NameDigest = *b"deleted!";

/// The digests of all resources.
#[derive(Debug)]
pub(super) struct ModelKeys {
    resources: Vec<ResourceKeys>,
}

/// The digests of one resource.
#[derive(Debug)]
pub(super) struct ResourceKeys {
    /// The kind of its documents.
    pub(super) document: NameDigest,
    collections: Vec<NameDigest>,
    fields: Vec<NameDigest>,
}

impl ModelKeys {
    pub(super) fn of(model: &SearchModel) -> Self {
        Self { resources: model.iter().map(|resource| ResourceKeys::of(resource)).collect() }
    }

    pub(super) fn of_resource(&self, resource: &SearchResource) -> &ResourceKeys {
        &self.resources[resource.ix.0 as usize]
    }
}

impl ResourceKeys {
    fn of(resource: &SearchResource) -> Self {
        let name = format!("{}/{}", resource.project_endpoint, resource.endpoint);
        let collections = resource.collections.iter().map(|collection| key(&format!("{name} [{}]", collection.path)));
        let fields = resource.fields.iter().map(|field| key(&format!("{name} {} {:?}", field.path, field.kind)));
        Self { document: key(&name), collections: collections.collect(), fields: fields.collect() }
    }

    /// Returns the kind of the elements of a collection, or of the documents for `None`.
    pub(super) fn level(&self, collection: Option<CollectionIx>) -> NameDigest {
        collection.map_or(self.document, |ix| self.collections[usize::from(ix.0)])
    }

    fn field(&self, ix: FieldIx) -> NameDigest {
        self.fields[usize::from(ix.0)]
    }

    /// Returns the terms that index a value.
    pub(super) fn terms(&self, resource: &SearchResource, field: FieldIx, value: &Value) -> Vec<Vec<u8>> {
        let key = self.field(field);
        match (resource.field(field).kind, value) {
            (FieldKind::Descriptor, Value::Text(uri)) => {
                vec![tagged(key, URI, &lower_uri(uri)), tagged(key, CODE, &lower_uri(code_of(uri)))]
            }
            _ => vec![term(key, value)],
        }
    }

    /// Returns the terms that match a comparison.
    pub(super) fn matching(&self, field: FieldIx, comparison: &Comparison) -> TermMatch {
        let key = self.field(field);
        let first = || Included(key.to_vec());
        // The first term after all of the field.
        let end = || Excluded(u64::from_be_bytes(key).saturating_add(1).to_be_bytes().to_vec());
        match comparison {
            Comparison::Equal(value) => TermMatch::One(term(key, value)),
            Comparison::Uri(lower) => TermMatch::One(tagged(key, URI, lower)),
            Comparison::Code(lower) => TermMatch::One(tagged(key, CODE, lower)),
            Comparison::Above(bound) => TermMatch::Range(Excluded(term(key, bound)), end()),
            Comparison::AtLeast(bound) => TermMatch::Range(Included(term(key, bound)), end()),
            Comparison::Below(bound) => TermMatch::Range(first(), Excluded(term(key, bound))),
            Comparison::AtMost(bound) => TermMatch::Range(first(), Included(term(key, bound))),
        }
    }
}

/// The terms that match a comparison.
pub(super) enum TermMatch {
    One(Vec<u8>),
    Range(Bound<Vec<u8>>, Bound<Vec<u8>>),
}

fn key(name: &str) -> NameDigest {
    let digest = Sha256::digest(name);
    std::array::from_fn(|at| digest[at])
}

/// Tags after the digest: a descriptor's whole URI, and its code value.
const URI: u8 = b'u';
const CODE: u8 = b'c';

fn tagged(key: NameDigest, tag: u8, text: &str) -> Vec<u8> {
    [key.as_slice(), &[tag], text.as_bytes()].concat()
}

fn term(key: NameDigest, value: &Value) -> Vec<u8> {
    [key.as_slice(), encode(value).as_bytes()].concat()
}

/// Encodes a value as text whose bytes have the order of the field's values.
pub(super) fn encode(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        // A flipped sign bit puts negative numbers first.
        Value::Integer(number) => format!("{:016x}", number.cast_unsigned() ^ (1 << 63)),
        Value::Decimal(number) => format!("{:032x}", number.unscaled.cast_unsigned() ^ (1 << 127)),
        Value::Boolean(value) => u8::from(*value).to_string(),
    }
}

/// Decodes the output of [`encode`]; `None` if it is not valid for this kind.
pub(super) fn decode(kind: FieldKind, text: &str) -> Option<Value> {
    match kind {
        FieldKind::Integer => {
            let bits = u64::from_str_radix(text, 16).ok()?;
            Some(Value::Integer((bits ^ (1 << 63)).cast_signed()))
        }
        FieldKind::Decimal { scale, .. } => {
            let bits = u128::from_str_radix(text, 16).ok()?;
            Some(Value::Decimal(Decimal { unscaled: (bits ^ (1 << 127)).cast_signed(), scale }))
        }
        FieldKind::Boolean => Some(Value::Boolean(text == "1")),
        _ => Some(Value::Text(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_in_the_order_of_the_values() {
        let decimal = |unscaled| Value::Decimal(Decimal { unscaled, scale: 4 });
        let kind = FieldKind::Decimal { precision: 19, scale: 4 };
        for (kind, ascending) in [
            (FieldKind::Integer, [i64::MIN, -5, 0, 7, i64::MAX].map(Value::Integer).to_vec()),
            (kind, [-99_999_999_999_999_999_i128, -1, 0, 1, 10_i128.pow(19)].map(decimal).to_vec()),
            (FieldKind::Boolean, [false, true].map(Value::Boolean).to_vec()),
        ] {
            let encoded: Vec<String> = ascending.iter().map(encode).collect();
            assert!(encoded.is_sorted(), "{encoded:?}");
            let decoded: Vec<Value> = encoded.iter().filter_map(|text| decode(kind, text)).collect();
            assert_eq!(decoded, ascending);
        }
    }
}
