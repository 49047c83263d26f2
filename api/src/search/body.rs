//! The JSON body of a search response. Documents are copied byte for byte.

use millstream_search::{FacetValues, SearchPage};
use serde_json::{Value, json};

/// Approximate bytes of a response besides its documents.
const ENVELOPE_BYTES: usize = 256;

/// Returns `{"documents":[…],"totalCount":n,"facets":{…},"next":"…"}`, without the members that the query did not ask for.
pub(super) fn write(page: &SearchPage) -> Vec<u8> {
    let bodies: usize = page.documents.iter().map(|hit| hit.body.len() + 1).sum();
    let mut out = Vec::with_capacity(bodies + ENVELOPE_BYTES);
    out.extend_from_slice(br#"{"documents":["#);
    for (at, hit) in page.documents.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&hit.body);
    }
    out.push(b']');
    if let Some(total) = page.total {
        member(&mut out, "totalCount", &json!(total));
    }
    if !page.facets.is_empty() {
        let facets: serde_json::Map<String, Value> =
            page.facets.iter().map(|facet| (facet.name.clone(), values(facet))).collect();
        member(&mut out, "facets", &Value::Object(facets));
    }
    if let Some(next) = &page.next {
        member(&mut out, "next", &json!(next.to_string()));
    }
    out.push(b'}');
    out
}

fn values(facet: &FacetValues) -> Value {
    let values = facet.values.iter();
    values.map(|count| json!({ "value": count.value.to_json(), "count": count.documents })).collect()
}

fn member(out: &mut Vec<u8>, name: &str, value: &Value) {
    out.extend_from_slice(format!(",\"{name}\":{value}").as_bytes());
}
