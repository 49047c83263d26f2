//! Query strings of `/data` and `/search`, and the tokens and cursors of their pages. The first byte selects the
//! resource.

use crate::fixture::{MAPPING, SEARCH, documents};
use bytes::Bytes;
use millstream_api::fuzzing::query_string;
use millstream_schema::plan::ResourceIx;
use millstream_search::{Hit, QueryOptions, SearchQuery};
use millstream_store::query::fuzzing::page_token;
use uuid::Uuid;

const OPTIONS: QueryOptions = QueryOptions { limit_default: 25, limit_max: 500 };

/// Query strings of clients, with members of the fixtures.
const STRINGS: [&str; 8] = [
    "limit=0&offset=7&totalCount=true&schoolId=5&nameOfInstitution=a+b%26%C3%A9",
    "pageToken=a001100000000000000ff&limit=500",
    "q=ada+lovelace&facet=lastSurname&facetLimit=5&fields=firstName,birthData.birthDate",
    "studentUniqueId=A1&birthData.birthDate:gte=2014-01-01&sort=lastSurname,-firstName",
    "entryDate:lt=2030-08-19&studentReference.studentUniqueId=A1&totalCount=true",
    "gradeLevels.gradeLevelDescriptor=uri%3A%2F%2Fmeadow.example%2FGradeLevelDescriptor%23First&sort=schoolId",
    "schoolId:gt=-9223372036854775808&cursor=aW10",
    "_lastModifiedDate:gt=2031-08-20T09:15:00Z&limit=3",
];

pub fn strings() -> Vec<Vec<u8>> {
    (0..MAPPING.resources.len() as u8)
        .flat_map(|resource| STRINGS.map(|text| [&[resource], text.as_bytes()].concat()))
        .collect()
}

/// A search that is accepted finds its cursor again: the cursor after a document of the resource continues the search.
pub fn read_string(bytes: &[u8]) {
    let Some((first, text)) = bytes.split_first() else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    let (Some(mut parameters), _) = query_string(text) else { return };
    let resource = ResourceIx(u32::from(*first) % MAPPING.resources.len() as u32);
    let Ok(query) = SearchQuery::parse(SEARCH.resource(resource), &parameters, &OPTIONS) else { return };
    let body = DOCUMENTS.iter().find(|(of, _)| u32::from(*of) == resource.0).map_or("{}", |(_, body)| body.as_str());
    let last = Hit { uuid: Uuid::from_u128(7), version: 1, body: Bytes::from_static(body.as_bytes()) };
    if let Ok(Some(cursor)) = query.cursor_after(&last) {
        parameters.retain(|(name, _)| name != "cursor");
        parameters.push(("cursor".to_owned(), cursor.to_string()));
        let continued = SearchQuery::parse(SEARCH.resource(resource), &parameters, &OPTIONS);
        assert!(continued.is_ok(), "the search refuses its own cursor {cursor}: {continued:?}");
    }
}

static DOCUMENTS: std::sync::LazyLock<Vec<(u8, String)>> = std::sync::LazyLock::new(documents);

pub fn tokens() -> Vec<Vec<u8>> {
    ["a001100000000000000ff", "a00117fffffffffffffff", "a0011ffffffffffffffff", "a+01100000000000000ff"]
        .map(|token| token.as_bytes().to_vec())
        .to_vec()
}

/// A token that is accepted is the one that its page returned.
pub fn read_token(bytes: &[u8]) {
    if let Ok(text) = str::from_utf8(bytes) {
        page_token(17, text);
    }
}
