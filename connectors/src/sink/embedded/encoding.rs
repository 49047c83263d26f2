//! Types, fields and values as terms and column entries, whose bytes are in the order of the values.
//!
//! Types and fields are named by digests of their names and kinds, not by their numbers: those change with the schema, and
//! an index that was built before goes on finding what it knows.

use millstream_schema::referential::lower_uri;
use millstream_search::{
    CollectionIx, Comparison, Decimal, FieldIx, FieldKind, SearchModel, SearchResource, Value, code_of,
};
use sha2::{Digest, Sha256};
use std::ops::Bound::{self, Excluded, Included};

/// What stands for a type, a collection or a field.
pub(super) type Key = [u8; 8];

/// The kind of a tombstone.
pub(super) const TOMBSTONE: Key = *b"deleted!";

/// The keys of all types.
#[derive(Debug)]
pub(super) struct Keys {
    types: Vec<TypeKeys>,
}

/// The keys of one type.
#[derive(Debug)]
pub(super) struct TypeKeys {
    /// Kind of its documents.
    pub(super) document: Key,
    collections: Vec<Key>,
    fields: Vec<Key>,
}

impl Keys {
    pub(super) fn of(model: &SearchModel) -> Self {
        Self { types: model.iter().map(|resource| TypeKeys::of(resource)).collect() }
    }

    pub(super) fn of_type(&self, resource: &SearchResource) -> &TypeKeys {
        &self.types[resource.ix.0 as usize]
    }
}

impl TypeKeys {
    fn of(resource: &SearchResource) -> Self {
        let name = format!("{}/{}", resource.project_endpoint, resource.endpoint);
        let collections = resource.collections.iter().map(|collection| key(&format!("{name} [{}]", collection.path)));
        let fields = resource.fields.iter().map(|field| key(&format!("{name} {} {:?}", field.path, field.kind)));
        Self { document: key(&name), collections: collections.collect(), fields: fields.collect() }
    }

    /// Kind of the elements of a collection; of the documents without one.
    pub(super) fn level(&self, collection: Option<CollectionIx>) -> Key {
        collection.map_or(self.document, |ix| self.collections[usize::from(ix.0)])
    }

    fn field(&self, ix: FieldIx) -> Key {
        self.fields[usize::from(ix.0)]
    }

    /// The terms that a value of a field is found by.
    pub(super) fn terms(&self, resource: &SearchResource, field: FieldIx, value: &Value) -> Vec<Vec<u8>> {
        let key = self.field(field);
        match (resource.field(field).kind, value) {
            (FieldKind::Descriptor, Value::Text(uri)) => {
                vec![marked(key, URI, &lower_uri(uri)), marked(key, CODE, &lower_uri(code_of(uri)))]
            }
            _ => vec![term(key, value)],
        }
    }

    /// The terms that a comparison asks for.
    pub(super) fn wanted(&self, field: FieldIx, comparison: &Comparison) -> Wanted {
        let key = self.field(field);
        let first = || Included(key.to_vec());
        // The first term behind all of the field.
        let end = || Excluded(u64::from_be_bytes(key).saturating_add(1).to_be_bytes().to_vec());
        match comparison {
            Comparison::Equal(value) => Wanted::One(term(key, value)),
            Comparison::Uri(lower) => Wanted::One(marked(key, URI, lower)),
            Comparison::Code(lower) => Wanted::One(marked(key, CODE, lower)),
            Comparison::Above(bound) => Wanted::Range(Excluded(term(key, bound)), end()),
            Comparison::AtLeast(bound) => Wanted::Range(Included(term(key, bound)), end()),
            Comparison::Below(bound) => Wanted::Range(first(), Excluded(term(key, bound))),
            Comparison::AtMost(bound) => Wanted::Range(first(), Included(term(key, bound))),
        }
    }
}

/// Terms that a comparison asks for.
pub(super) enum Wanted {
    One(Vec<u8>),
    Range(Bound<Vec<u8>>, Bound<Vec<u8>>),
}

fn key(name: &str) -> Key {
    let digest = Sha256::digest(name);
    std::array::from_fn(|at| digest[at])
}

/// What a whole URI and a code value of a descriptor begin with, behind the key.
const URI: u8 = b'u';
const CODE: u8 = b'c';

fn marked(key: Key, mark: u8, text: &str) -> Vec<u8> {
    [key.as_slice(), &[mark], text.as_bytes()].concat()
}

fn term(key: Key, value: &Value) -> Vec<u8> {
    [key.as_slice(), encode(value).as_bytes()].concat()
}

/// A value as text whose bytes are in the order of the values of its field.
pub(super) fn encode(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        // The sign bit turned around puts negative numbers first.
        Value::Integer(number) => format!("{:016x}", number.cast_unsigned() ^ (1 << 63)),
        Value::Decimal(number) => format!("{:032x}", number.unscaled.cast_unsigned() ^ (1 << 127)),
        Value::Boolean(value) => u8::from(*value).to_string(),
    }
}

/// Reads back what [`encode`] wrote. `None`: nothing that it writes for this kind.
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
