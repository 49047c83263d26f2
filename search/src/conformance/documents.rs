//! The documents of the suite: their type, constructors, and the documents of the fixed cases.

use crate::model::SearchResource;
use bytes::Bytes;
use uuid::Uuid;

/// A document at a version.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its id.
    pub uuid: Uuid,
    /// Its type.
    pub resource_key: i16,
    /// Its version.
    pub version: i64,
    /// The bytes of a GET response; `None` if deleted.
    pub body: Option<Bytes>,
}

/// Returns the id of a document of the suite.
pub(super) fn uuid_of(number: u64) -> Uuid {
    Uuid::from_u128(0x5EA4_0000_0000_4000_8000_0000_0000_0000 | u128::from(number))
}

/// Returns a document of the suite: the body with the members that the server adds.
pub(super) fn document(resource: &SearchResource, number: u64, version: i64, members: &str) -> Document {
    let uuid = uuid_of(number);
    let day = 1 + number % 28;
    let members = members.trim().trim_start_matches('{');
    let comma = if members.starts_with('}') { "" } else { "," };
    let body = format!(
        r#"{{"id":"{uuid}","_etag":"{version}","_lastModifiedDate":"2031-01-{day:02}T00:00:00Z"{comma}{members}"#
    );
    Document { uuid, resource_key: resource.key, version, body: Some(Bytes::from(body)) }
}

/// Endpoint, number, members.
pub(super) const DOCUMENTS: &[(&str, u64, &str)] = &[
    (
        "schools",
        1,
        r#"{"schoolId":710001,"nameOfInstitution":"Fern Hollow School","acceptsTransfers":true,
        "gradeLevels":[{"gradeLevelDescriptor":"uri://meadow.example/GradeLevelDescriptor#Ninth grade"},
                       {"gradeLevelDescriptor":"uri://meadow.example/GradeLevelDescriptor#Sixth grade"}],
        "districtReference":{"districtId":7100},
        "addresses":[
          {"addressTypeDescriptor":"uri://meadow.example/AddressTypeDescriptor#Physical","streetNumberName":"26 Willow Street",
           "city":"Dale","postalCode":"50312","latitude":-33.9,"longitude":151.2,
           "periods":[{"beginDate":"2020-08-01","endDate":"2022-07-31",
                       "openings":[{"weekday":"Monday","opensAt":"07:30:00","closesAt":"15:45:00"},
                                   {"weekday":"Tuesday","opensAt":"09:00:00","closesAt":"16:45:00"}]},
                      {"beginDate":"2022-08-01"}],
           "_ext":{"brook":{"onBusRoute":true,"complex":"Tower C","floodZones":[{"zoneCode":"Z1"}]}}},
          {"addressTypeDescriptor":"uri://meadow.example/AddressTypeDescriptor#Mailing","streetNumberName":"5 Poplar Street",
           "city":"Cloverton","postalCode":"50313","latitude":59.3293}]}"#,
    ),
    (
        "schools",
        2,
        r#"{"schoolId":9007199254740993,"nameOfInstitution":"École d'Été","acceptsTransfers":false,
        "gradeLevels":[{"gradeLevelDescriptor":"uri://meadow.example/GradeLevelDescriptor#Ninth grade"}],
        "addresses":[
          {"addressTypeDescriptor":"uri://meadow.example/AddressTypeDescriptor#Mailing","streetNumberName":"1 Rue Verte",
           "city":"Dale","postalCode":"50314","latitude":59.329301,
           "periods":[{"beginDate":"2022-08-01",
                       "openings":[{"weekday":"Monday","opensAt":"09:00:00","closesAt":"15:45:00"}]}],
           "_ext":{"brook":{"onBusRoute":false,"floodZones":[{"zoneCode":"Z1"},{"zoneCode":"Z2"}]}}}]}"#,
    ),
    (
        "schools",
        3,
        r#"{"schoolId":9007199254740992,"nameOfInstitution":"fern hollow annex",
        "gradeLevels":[{"gradeLevelDescriptor":"uri://meadow.example/GradeLevelDescriptor#Sixth grade"},
                       {"gradeLevelDescriptor":"uri://meadow.example/GradeLevelDescriptor#First grade"}],
        "districtReference":{"districtId":7200},"charterApprovalSchoolYearTypeReference":{"schoolYear":2030}}"#,
    ),
    (
        "schools",
        4,
        r#"{"schoolId":-5,"nameOfInstitution":"Ünter den Linden 12","districtReference":{"districtId":7100}}"#,
    ),
    (
        "students",
        11,
        r#"{"studentUniqueId":"S-1","firstName":"Zoë","lastSurname":"O'Brien-Müller","heightInCentimeters":142.5,
        "birthData":{"birthDate":"2009-06-06","birthCity":"Dale","multipleBirth":false},
        "recordCreatedAt":"2030-06-15T14:05:09Z","libraryCardNumber":1000000000000005,
        "otherNames":[{"otherName":"Zo","languages":[{"languageCode":"en"},{"languageCode":"fr"}]},
                      {"otherName":"Bee","languages":[{"languageCode":"de"}]}]}"#,
    ),
    (
        "students",
        12,
        r#"{"studentUniqueId":"s-1","firstName":"Ada","lastSurname":"Müller","heightInCentimeters":99.99,
        "birthData":{"birthDate":"2010-01-01"},"recordCreatedAt":"2030-06-15T14:05:10Z",
        "otherNames":[{"otherName":"Zo","languages":[{"languageCode":"de"}]}]}"#,
    ),
    (
        "students",
        13,
        r#"{"studentUniqueId":"S-3","firstName":"Bo","lastSurname":"Fontaine","heightInCentimeters":142.51,
        "birthData":{"birthDate":"2009-06-07","birthCity":"Mu\u0308nster","multipleBirth":true}}"#,
    ),
    (
        "sessions",
        21,
        r#"{"sessionName":"Fall","schoolReference":{"schoolId":710001},"schoolYearTypeReference":{"schoolYear":2031},
        "termDescriptor":"uri://meadow.example/TermDescriptor#Fall","beginDate":"2030-08-19","endDate":"2030-12-20",
        "totalInstructionalDays":80,"dailyStartTime":"08:15:00"}"#,
    ),
    (
        "courseOfferings",
        31,
        r#"{"localCourseCode":"ALG-1","schoolReference":{"schoolId":1},"availableCredits":1.25,
        "sessionReference":{"schoolId":2,"schoolYear":2031,"sessionName":"Fall"}}"#,
    ),
    (
        "courseOfferings",
        32,
        r#"{"localCourseCode":"ALG-2","schoolReference":{"schoolId":2},
        "sessionReference":{"schoolId":3,"schoolYear":2031,"sessionName":"Spring"}}"#,
    ),
    (
        "gradeLevelDescriptors",
        41,
        r#"{"namespace":"uri://meadow.example/GradeLevelDescriptor","codeValue":"Ninth grade",
        "shortDescription":"Ninth grade","effectiveBeginDate":"2020-02-29"}"#,
    ),
];
