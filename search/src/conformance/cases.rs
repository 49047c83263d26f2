//! Fixed queries with their results.

use super::bench::{Bench, pairs};
use super::documents::{DOCUMENTS, Document, document, uuid_of};
use crate::value::Value;

/// Parameters, and the numbers of the found documents; without a sort in ascending order.
type Case = (&'static [(&'static str, &'static str)], &'static [u64]);

const NINTH: &str = "URI://meadow.example/gradeleveldescriptor#ninth GRADE";

const SCHOOLS: &[Case] = &[
    (&[], &[1, 2, 3, 4]),
    (&[("schoolId", "710001")], &[1]),
    (&[("schoolId", "710001.0")], &[1]),
    (&[("schoolId", "9007199254740993")], &[2]),
    (&[("schoolId:gt", "9007199254740992")], &[2]),
    (&[("schoolId:gte", "9007199254740992")], &[2, 3]),
    (&[("schoolId:lt", "0.5")], &[4]),
    (&[("schoolId:gt", "-6"), ("schoolId:lte", "710001")], &[1, 4]),
    (&[("schoolId:lt", "1e50")], &[1, 2, 3, 4]),
    (&[("schoolId", "1e50")], &[]),
    (&[("nameOfInstitution", "Fern Hollow School")], &[1]),
    (&[("nameOfInstitution", "fern hollow school")], &[]),
    (&[("nameOfInstitution:gte", "a")], &[2, 3, 4]),
    (&[("nameOfInstitution", "a\0b")], &[]),
    (&[("nameOfInstitution", "")], &[]),
    (&[("acceptsTransfers", "TRUE")], &[1]),
    (&[("acceptsTransfers", "false")], &[2]),
    (&[("districtId", "7100")], &[1, 4]),
    (&[("districtReference.districtId:gt", "7100")], &[3]),
    (&[("charterApprovalSchoolYear", "2030")], &[3]),
    (&[("gradeLevels.gradeLevelDescriptor", NINTH)], &[1, 2]),
    (&[("gradeLevels.gradeLevelDescriptor", "ninth grade")], &[1, 2]),
    (&[("gradeLevels.gradeLevelDescriptor", "ninth")], &[]),
    (&[("gradeLevels.gradeLevelDescriptor", "uri://meadow.example/GradeLevelDescriptor")], &[]),
    // One element must meet all conditions: school 1 has a Mailing address and another one in Dale.
    (&[("addresses.city", "Dale")], &[1, 2]),
    (&[("addresses.city", "Dale"), ("addresses.addressTypeDescriptor", "mailing")], &[2]),
    (&[("addresses.city", "Dale"), ("addresses.latitude:lt", "0")], &[1]),
    (&[("addresses.city", "Cloverton"), ("addresses.latitude:lt", "0")], &[]),
    (&[("addresses.latitude", "59.3293")], &[1]),
    (&[("addresses.latitude:gt", "59.3293"), ("addresses.latitude:lte", "59.3293010")], &[2]),
    (&[("addresses.latitude:gte", "0"), ("addresses.latitude:lt", "59.3293001")], &[1]),
    (&[("addresses.latitude", "59.32930049")], &[]),
    // Conditions on an inner and an outer collection are nested.
    (&[("addresses.city", "Dale"), ("addresses.periods.beginDate", "2022-08-01")], &[1, 2]),
    (&[("addresses.city", "Cloverton"), ("addresses.periods.beginDate", "2022-08-01")], &[]),
    (&[("addresses.periods.openings.weekday", "Monday"), ("addresses.periods.openings.opensAt", "09:00:00")], &[2]),
    (&[("addresses.periods.openings.opensAt:gte", "09:00:00")], &[1, 2]),
    (&[("addresses.periods.endDate:lte", "2022-07-31"), ("addresses.periods.openings.weekday", "Tuesday")], &[1]),
    (&[("addresses.periods.beginDate", "2022-08-01"), ("addresses.periods.openings.weekday", "Tuesday")], &[]),
    // Sibling collections are independent.
    (&[("addresses.city", "Cloverton"), ("gradeLevels.gradeLevelDescriptor", "sixth grade")], &[1]),
    (&[("addresses._ext.brook.onBusRoute", "true")], &[1]),
    (&[("addresses._ext.brook.floodZones.zoneCode", "Z1")], &[1, 2]),
    (&[("addresses._ext.brook.floodZones.zoneCode", "Z1"), ("addresses._ext.brook.onBusRoute", "false")], &[2]),
    // Free text: every word in any field; of descriptors the code value, not the namespace.
    (&[("q", "fern")], &[1, 3]),
    (&[("q", "FERN Hollow")], &[1, 3]),
    (&[("q", "fern dale")], &[1]),
    (&[("q", "ecole ete")], &[2]),
    (&[("q", "unter")], &[4]),
    (&[("q", "unt")], &[]),
    (&[("q", "12")], &[4]),
    (&[("q", "ninth")], &[1, 2]),
    (&[("q", "meadow")], &[]),
    (&[("q", "gradeleveldescriptor")], &[]),
    (&[("q", "710001")], &[]),
    (&[("q", "z2 verte"), ("addresses.city", "Dale")], &[2]),
    (&[("id", "5ea40000-0000-4000-8000-000000000003")], &[3]),
    (&[("id", "5EA40000-0000-4000-8000-000000000003")], &[3]),
    (&[("id", "3")], &[]),
    (&[("_lastModifiedDate:gte", "2031-01-04T00:00:00Z")], &[3, 4]),
    (&[("sort", "schoolId")], &[4, 1, 3, 2]),
    (&[("sort", "-schoolId")], &[2, 3, 1, 4]),
    (&[("sort", "nameOfInstitution")], &[1, 3, 2, 4]),
    (&[("sort", "districtReference.districtId")], &[1, 4, 3, 2]),
    (&[("sort", "-districtReference.districtId,-schoolId")], &[3, 1, 4, 2]),
    (&[("sort", "-acceptsTransfers,schoolId")], &[1, 2, 4, 3]),
    (&[("sort", "-_lastModifiedDate"), ("limit", "2")], &[4, 3]),
    (&[("q", "fern"), ("sort", "-schoolId")], &[3, 1]),
];

const STUDENTS: &[Case] = &[
    (&[("studentUniqueId", "S-1")], &[11]),
    (&[("heightInCentimeters", "142.50")], &[11]),
    (&[("heightInCentimeters:gt", "99.989")], &[11, 12, 13]),
    (&[("heightInCentimeters:gt", "99.99"), ("heightInCentimeters:lt", "142.505")], &[11]),
    (&[("sort", "-heightInCentimeters")], &[13, 11, 12]),
    (&[("birthDate:gt", "2009-06-06")], &[12, 13]),
    (&[("birthData.multipleBirth", "true")], &[13]),
    (&[("recordCreatedAt", "2030-06-15T16:05:09+02:00")], &[11]),
    (&[("recordCreatedAt:gt", "2030-06-15T14:05:09Z")], &[12]),
    (&[("sort", "-recordCreatedAt")], &[12, 11, 13]),
    (&[("libraryCardNumber:gte", "1000000000000005")], &[11]),
    (&[("otherNames.otherName", "Zo"), ("otherNames.languages.languageCode", "de")], &[12]),
    (&[("otherNames.languages.languageCode", "de")], &[11, 12]),
    (&[("q", "muller zo")], &[11, 12]),
    (&[("q", "brien")], &[11]),
    (&[("q", "o")], &[11]),
    // Canonically equivalent texts are the same, in documents and in queries.
    (&[("q", "münster")], &[13]),
    (&[("q", "Mu\u{308}nster")], &[13]),
    (&[("q", "mu\u{308}ller zo")], &[11, 12]),
];

const OTHERS: &[(&str, Case)] = &[
    ("sessions", (&[("dailyStartTime:lte", "08:15:00"), ("termDescriptor", "fall")], &[21])),
    ("sessions", (&[("schoolId", "710001"), ("schoolYear", "2031")], &[21])),
    ("sessions", (&[("dailyStartTime:lt", "08:15:00")], &[])),
    // A query field with several fields matches any of them.
    ("courseOfferings", (&[("schoolId", "2")], &[31, 32])),
    ("courseOfferings", (&[("sessionReference.schoolId", "2")], &[31])),
    ("courseOfferings", (&[("schoolId:gt", "2")], &[32])),
    ("gradeLevelDescriptors", (&[("codeValue", "Ninth grade"), ("effectiveBeginDate", "2020-02-29")], &[41])),
    ("gradeLevelDescriptors", (&[("q", "ninth")], &[41])),
    // No document of this type was ever delivered.
    ("districts", (&[("q", "dale")], &[])),
    ("districts", (&[("sort", "-nameOfInstitution"), ("totalCount", "true")], &[])),
];

/// Cases after school 1 changed and school 2 was deleted.
const CHANGED: &[Case] = &[
    (&[("addresses.city", "Dale")], &[]),
    (&[("addresses.city", "Elsewhere")], &[1]),
    (&[("q", "moved")], &[1]),
    (&[("q", "ecole")], &[]),
    (&[("sort", "-schoolId")], &[3, 1, 4]),
];

pub(super) async fn run(bench: &mut Bench<'_>) {
    let all: Vec<Document> = DOCUMENTS
        .iter()
        .map(|(endpoint, number, members)| document(&bench.resource(endpoint), *number, 10, members))
        .collect();
    bench.put(&all).await;
    for case in SCHOOLS {
        check(bench, "schools", case).await;
    }
    for case in STUDENTS {
        check(bench, "students", case).await;
    }
    for (endpoint, case) in OTHERS {
        check(bench, endpoint, case).await;
    }
    bodies_come_back_as_they_were_put(bench, &all).await;
    facets_count_documents(bench).await;
    changes_are_seen(bench).await;
}

async fn check(bench: &Bench<'_>, endpoint: &str, (parameters, expected): &Case) {
    let mut parameters = pairs(parameters);
    if !parameters.iter().any(|(name, _)| name == "totalCount") {
        parameters.push(("totalCount".to_owned(), "true".to_owned()));
    }
    let query = bench.query(endpoint, &parameters);
    let page = bench.search(&query).await;
    let mut found: Vec<_> = page.documents.iter().map(|hit| hit.uuid).collect();
    if query.is_by_relevance() {
        found.sort_unstable();
    }
    let expected: Vec<_> = expected.iter().map(|number| uuid_of(*number)).collect();
    assert_eq!(found, expected, "{endpoint} {parameters:?}");
    let reference = bench.reference.answer(&query);
    assert_eq!(page.total, reference.total, "{endpoint} {parameters:?}");
}

async fn bodies_come_back_as_they_were_put(bench: &Bench<'_>, all: &[Document]) {
    let page = bench.search(&bench.query("schools", &[])).await;
    for (hit, put) in page.documents.iter().zip(all) {
        assert_eq!((hit.uuid, hit.version, Some(&hit.body)), (put.uuid, put.version, put.body.as_ref()));
    }
    let query = bench.query("schools", &pairs(&[("fields", "schoolId,addresses.city"), ("limit", "1")]));
    let page = bench.search(&query).await;
    let expected = format!(
        r#"{{"id":"{}","schoolId":710001,"addresses":[{{"city":"Dale"}},{{"city":"Cloverton"}}]}}"#,
        uuid_of(1)
    );
    assert_eq!(page.documents[0].body, expected.as_bytes());
}

async fn facets_count_documents(bench: &Bench<'_>) {
    let names = "addresses.city,districtId,acceptsTransfers,gradeLevels.gradeLevelDescriptor,addresses.latitude";
    let query = bench.query("schools", &pairs(&[("facet", names), ("limit", "0"), ("facetLimit", "2")]));
    let page = bench.search(&query).await;
    assert!(page.documents.is_empty() && page.next.is_none());
    let facets: Vec<Vec<(String, u64)>> = page
        .facets
        .iter()
        .map(|facet| facet.values.iter().map(|count| (count.value.to_string(), count.documents)).collect())
        .collect();
    let code = |code: &str| format!("uri://meadow.example/GradeLevelDescriptor#{code}");
    let counts = |values: &[(&str, u64)]| values.iter().map(|(value, n)| ((*value).to_owned(), *n)).collect::<Vec<_>>();
    assert_eq!(
        facets,
        [
            counts(&[("Dale", 2), ("Cloverton", 1)]),
            counts(&[("7100", 2), ("7200", 1)]),
            counts(&[("false", 1), ("true", 1)]),
            counts(&[(&code("Ninth grade"), 2), (&code("Sixth grade"), 2)]),
            counts(&[("-33.9", 1), ("59.3293", 1)]),
        ]
    );
    assert_eq!(page.facets[2].values[0].value, Value::Boolean(false));
    // Facets count all matching documents, not the page.
    let query = bench.query("schools", &pairs(&[("facet", "addresses.city"), ("limit", "1"), ("districtId", "7100")]));
    let page = bench.search(&query).await;
    assert_eq!(page.facets[0].values.len(), 2);
    assert_eq!(page.facets, bench.reference.answer(&query).facets);
}

async fn changes_are_seen(bench: &mut Bench<'_>) {
    let schools = bench.resource("schools");
    let moved = document(
        &schools,
        1,
        20,
        r#"{"schoolId":710001,"nameOfInstitution":"Moved","addresses":[{"city":"Elsewhere"}]}"#,
    );
    let gone = Document { body: None, version: 21, ..document(&schools, 2, 21, "{}") };
    bench.put(&[moved, gone]).await;
    for case in CHANGED {
        check(bench, "schools", case).await;
    }
}
