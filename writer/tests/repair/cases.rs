//! One case for each kind of damage.

use millstream_store::verify::DifferenceKind as Kind;

/// The effect of a repair on a damage.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected {
    /// Nothing is left; the document has a new version or not.
    Repaired { new_version: bool },
    /// It stays, and the report says why; an empty reason where the audit alone names it.
    Left { reason: &'static str },
}

/// A damage.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The type whose first document is damaged.
    pub(crate) resource: &'static str,
    /// `{id}` stands for its DocumentId.
    pub(crate) damage: &'static str,
    pub(crate) outcome: Expected,
}

const fn case(name: &'static str, kind: Kind, resource: &'static str, damage: &'static str, outcome: Expected) -> Case {
    Case { name, kind, resource, damage, outcome }
}

const VERSION: Expected = Expected::Repaired { new_version: true };
const SAME_VERSION: Expected = Expected::Repaired { new_version: false };

pub(crate) const CASES: &[Case] = &[
    case(
        "an edge is missing",
        Kind::EdgeMissing,
        "StudentSectionAssociation",
        r#"DELETE FROM "dms"."ReferenceEdge" WHERE "ParentDocumentId" = {id}"#,
        VERSION,
    ),
    case(
        "an edge too many",
        Kind::EdgeUnexpected,
        "StudentSectionAssociation",
        r#"INSERT INTO "dms"."ReferenceEdge" SELECT {id}, min("DocumentId"), false FROM "meadow"."District""#,
        VERSION,
    ),
    case(
        "the flag of an edge is wrong",
        Kind::EdgeFlag,
        "StudentSectionAssociation",
        r#"UPDATE "dms"."ReferenceEdge" SET "IsIdentityComponent" = NOT "IsIdentityComponent" WHERE "ParentDocumentId" = {id}"#,
        VERSION,
    ),
    case(
        "a ReferentialId is stale",
        Kind::ReferentialId,
        "StudentSectionAssociation",
        r#"UPDATE "dms"."ReferentialIdentity" SET "ReferentialId" = gen_random_uuid() WHERE "DocumentId" = {id}"#,
        SAME_VERSION,
    ),
    case(
        "identity values are stale",
        Kind::IdentityValues,
        "Session",
        r#"UPDATE "dms"."ReferentialIdentity" SET "IdentityValues"[1] = 'stale' WHERE "DocumentId" = {id}"#,
        VERSION,
    ),
    case(
        "identity values of an unchangeable type are stale",
        Kind::IdentityValues,
        "Student",
        r#"UPDATE "dms"."ReferentialIdentity" SET "IdentityValues"[1] = 'stale' WHERE "DocumentId" = {id}"#,
        VERSION,
    ),
    case(
        "an identity is missing",
        Kind::IdentityMissing,
        "Student",
        r#"DELETE FROM "dms"."ReferentialIdentity" WHERE "DocumentId" = {id}"#,
        VERSION,
    ),
    case(
        "the alias of a subclass document is missing",
        Kind::IdentityMissing,
        "School",
        r#"DELETE FROM "dms"."ReferentialIdentity" i USING "dms"."Document" d
            WHERE d."DocumentId" = i."DocumentId" AND i."DocumentId" = {id} AND i."ResourceKeyId" <> d."ResourceKeyId""#,
        SAME_VERSION,
    ),
    case(
        "an identity too many",
        Kind::IdentityUnexpected,
        "StudentSectionAssociation",
        r#"INSERT INTO "dms"."ReferentialIdentity" SELECT gen_random_uuid(), {id}, k."ResourceKeyId", '{}'
             FROM "dms"."ResourceKey" k WHERE k."ResourceName" = 'Bus'"#,
        VERSION,
    ),
    case(
        "an identity lock is missing",
        Kind::IdentityLockMissing,
        "Session",
        r#"DELETE FROM "dms"."IdentityLock" WHERE "DocumentId" = {id}"#,
        SAME_VERSION,
    ),
    case(
        "the lower-case URI of a descriptor is stale",
        Kind::DescriptorColumns,
        "TermDescriptor",
        r#"UPDATE "dms"."Descriptor" SET "UriLower" = 'uri://elsewhere#x' WHERE "DocumentId" = {id}"#,
        SAME_VERSION,
    ),
    case(
        "the URI of a descriptor is stale",
        Kind::DescriptorColumns,
        "TermDescriptor",
        r#"UPDATE "dms"."Descriptor" SET "Uri" = 'uri://elsewhere#x' WHERE "DocumentId" = {id}"#,
        VERSION,
    ),
    case(
        "a living document has a tombstone",
        Kind::TombstoneOfLiving,
        "Student",
        r#"INSERT INTO "dms"."Tombstone" SELECT "DocumentUuid", "DocumentId", "ResourceKeyId", 1, '{}', now()
             FROM "dms"."Document" WHERE "DocumentId" = {id}"#,
        VERSION,
    ),
    case(
        "the cache is ahead",
        Kind::CacheAhead,
        "School",
        r#"UPDATE "dms"."DocumentCache" SET "ContentVersion" = "ContentVersion" + 1 WHERE "DocumentId" = {id}"#,
        VERSION,
    ),
    case(
        "the time of a cached body is another",
        Kind::CacheHead,
        "School",
        r#"UPDATE "dms"."DocumentCache" SET "LastModifiedAt" = '2001-01-01' WHERE "DocumentId" = {id}"#,
        SAME_VERSION,
    ),
    case(
        "a cached body is altered",
        Kind::CacheBody,
        "School",
        r#"UPDATE "dms"."DocumentCache" SET "Body" = replace("Body", '"', '"x') WHERE "DocumentId" = {id}"#,
        SAME_VERSION,
    ),
    case(
        "the hash of a cached body is altered",
        Kind::CacheHash,
        "School",
        r#"UPDATE "dms"."DocumentCache" SET "BodyHash" = '\x01' WHERE "DocumentId" = {id}"#,
        SAME_VERSION,
    ),
    case(
        "a root row is missing",
        Kind::RootRowMissing,
        "StudentGardeningProgramAssociation",
        r#"DELETE FROM "brook"."StudentGardeningProgramAssociation" WHERE "DocumentId" = {id}"#,
        Expected::Left { reason: "has no row in \"brook\".\"StudentGardeningProgramAssociation\"" },
    ),
    case(
        "a document of an unknown type",
        Kind::UnknownType,
        "Bus",
        r#"UPDATE "dms"."Document" SET "ResourceKeyId" = 30000 WHERE "DocumentId" = {id}"#,
        Expected::Left { reason: "the schema has no type 30000" },
    ),
    case(
        "a root row in the table of another type",
        Kind::RootRowMisplaced,
        "StudentSectionAssociation",
        r#"INSERT INTO "brook"."Bus" ("DocumentId", "BusId", "Seats") VALUES ({id}, 'BUS-X', 1)"#,
        Expected::Left { reason: "" },
    ),
    case(
        "a descriptor of another type",
        Kind::DescriptorType,
        "Session",
        r#"UPDATE "meadow"."Session" SET "Term_DescriptorId" = (SELECT min("DocumentId") FROM "dms"."Descriptor" WHERE "Uri" LIKE '%GradeLevel%')
            WHERE "DocumentId" = {id}"#,
        Expected::Left { reason: "" },
    ),
];
