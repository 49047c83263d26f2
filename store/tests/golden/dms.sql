CREATE SCHEMA IF NOT EXISTS "dms";
CREATE TABLE "dms"."ResourceKey" (
    "ResourceKeyId" smallint NOT NULL,
    "ProjectName" varchar(256) NOT NULL,
    "ResourceName" varchar(256) NOT NULL,
    "ResourceVersion" varchar(32) NOT NULL,
    CONSTRAINT "PK_ResourceKey" PRIMARY KEY ("ResourceKeyId"),
    CONSTRAINT "UX_ResourceKey_ProjectName_ResourceName" UNIQUE ("ProjectName", "ResourceName")
);
CREATE TABLE "dms"."EffectiveSchema" (
    "Id" smallint NOT NULL,
    "ApiSchemaFormatVersion" text NOT NULL,
    "EffectiveSchemaHash" text NOT NULL,
    "ResourceKeyCount" integer NOT NULL,
    "ResourceKeySeedHash" bytea NOT NULL,
    "DatabaseUuid" uuid NOT NULL,
    "AppliedAt" timestamptz NOT NULL,
    "History" bigint NOT NULL DEFAULT 0,
    CONSTRAINT "PK_EffectiveSchema" PRIMARY KEY ("Id"),
    CONSTRAINT "CK_EffectiveSchema_OneRow" CHECK ("Id" = 1)
);
CREATE TABLE "dms"."SchemaComponent" (
    "EffectiveSchemaHash" text NOT NULL,
    "ProjectEndpointName" text NOT NULL,
    "ProjectName" text NOT NULL,
    "ProjectVersion" text NOT NULL,
    "IsExtensionProject" boolean NOT NULL,
    CONSTRAINT "PK_SchemaComponent" PRIMARY KEY ("EffectiveSchemaHash", "ProjectEndpointName")
);
CREATE SEQUENCE "dms"."DocumentIdSequence" AS bigint CACHE 1;
CREATE SEQUENCE "dms"."ChangeVersionSequence" AS bigint CACHE 1;
CREATE TABLE "dms"."Document" (
    "DocumentId" bigint NOT NULL,
    "DocumentUuid" uuid NOT NULL,
    "ResourceKeyId" smallint NOT NULL,
    "ContentVersion" bigint NOT NULL,
    "IdentityVersion" bigint NOT NULL,
    "LastModifiedAt" timestamptz NOT NULL,
    "CreatedAt" timestamptz NOT NULL,
    "ContentHash" bytea NOT NULL,
    CONSTRAINT "PK_Document" PRIMARY KEY ("DocumentId"),
    CONSTRAINT "UX_Document_DocumentUuid" UNIQUE ("DocumentUuid"),
    CONSTRAINT "FK_Document_ResourceKey" FOREIGN KEY ("ResourceKeyId") REFERENCES "dms"."ResourceKey" ("ResourceKeyId")
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX "IX_Document_ResourceKeyId_DocumentId" ON "dms"."Document" ("ResourceKeyId", "DocumentId");
CREATE TABLE "dms"."ReferentialIdentity" (
    "ReferentialId" uuid NOT NULL,
    "DocumentId" bigint NOT NULL,
    "ResourceKeyId" smallint NOT NULL,
    "IdentityValues" text[] NOT NULL,
    CONSTRAINT "PK_ReferentialIdentity" PRIMARY KEY ("ReferentialId"),
    CONSTRAINT "FK_ReferentialIdentity_Document" FOREIGN KEY ("DocumentId")
        REFERENCES "dms"."Document" ("DocumentId") ON DELETE CASCADE
);
CREATE UNIQUE INDEX "UX_ReferentialIdentity_DocumentId_ResourceKeyId"
    ON "dms"."ReferentialIdentity" ("DocumentId", "ResourceKeyId");
CREATE TABLE "dms"."ReferenceEdge" (
    "ParentDocumentId" bigint NOT NULL,
    "ChildDocumentId" bigint NOT NULL,
    "IsIdentityComponent" boolean NOT NULL,
    CONSTRAINT "PK_ReferenceEdge" PRIMARY KEY ("ParentDocumentId", "ChildDocumentId"),
    CONSTRAINT "FK_ReferenceEdge_Document" FOREIGN KEY ("ParentDocumentId")
        REFERENCES "dms"."Document" ("DocumentId") ON DELETE CASCADE
);
CREATE INDEX "IX_ReferenceEdge_ChildDocumentId_ParentDocumentId"
    ON "dms"."ReferenceEdge" ("ChildDocumentId", "ParentDocumentId");
CREATE INDEX "IX_ReferenceEdge_ChildDocumentId_Identity"
    ON "dms"."ReferenceEdge" ("ChildDocumentId") WHERE "IsIdentityComponent";
CREATE TABLE "dms"."IdentityLock" (
    "DocumentId" bigint NOT NULL,
    CONSTRAINT "PK_IdentityLock" PRIMARY KEY ("DocumentId"),
    CONSTRAINT "FK_IdentityLock_Document" FOREIGN KEY ("DocumentId")
        REFERENCES "dms"."Document" ("DocumentId") ON DELETE CASCADE
);
CREATE TABLE "dms"."Descriptor" (
    "DocumentId" bigint NOT NULL,
    "Namespace" varchar(255) NOT NULL,
    "CodeValue" varchar(50) NOT NULL,
    "ShortDescription" varchar(75) NOT NULL,
    "Description" varchar(1024),
    "EffectiveBeginDate" date,
    "EffectiveEndDate" date,
    "Uri" varchar(306) NOT NULL,
    "UriLower" varchar(306) NOT NULL,
    "ResourceKeyId" smallint NOT NULL,
    CONSTRAINT "PK_Descriptor" PRIMARY KEY ("DocumentId"),
    CONSTRAINT "UX_Descriptor_UriLower_ResourceKeyId" UNIQUE ("UriLower", "ResourceKeyId"),
    CONSTRAINT "FK_Descriptor_Document" FOREIGN KEY ("DocumentId")
        REFERENCES "dms"."Document" ("DocumentId") ON DELETE CASCADE
);
CREATE INDEX "IX_Descriptor_ResourceKeyId_DocumentId" ON "dms"."Descriptor" ("ResourceKeyId", "DocumentId");
CREATE TABLE "dms"."Outbox" (
    "OutboxId" bigint GENERATED ALWAYS AS IDENTITY,
    "TransactionId" xid8 NOT NULL DEFAULT pg_current_xact_id(),
    "DocumentId" bigint NOT NULL,
    "DocumentUuid" uuid NOT NULL,
    "ResourceKeyId" smallint NOT NULL,
    "Kind" varchar(8) NOT NULL,
    "ContentVersion" bigint NOT NULL,
    "CreatedAt" timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT "PK_Outbox" PRIMARY KEY ("OutboxId"),
    CONSTRAINT "CK_Outbox_Kind" CHECK ("Kind" IN ('upsert', 'identity', 'delete', 'touch'))
) PARTITION BY RANGE ("OutboxId");
CREATE TABLE "dms"."Outbox_0" PARTITION OF "dms"."Outbox" FOR VALUES FROM (0) TO (1000000);
CREATE TABLE "dms"."Outbox_1" PARTITION OF "dms"."Outbox" FOR VALUES FROM (1000000) TO (2000000);
CREATE TABLE "dms"."Outbox_Default" PARTITION OF "dms"."Outbox" DEFAULT;
CREATE TABLE "dms"."Tombstone" (
    "DocumentUuid" uuid NOT NULL,
    "DocumentId" bigint NOT NULL,
    "ResourceKeyId" smallint NOT NULL,
    "ContentVersion" bigint NOT NULL,
    "IdentityValues" text[] NOT NULL,
    "DeletedAt" timestamptz NOT NULL,
    CONSTRAINT "PK_Tombstone" PRIMARY KEY ("DocumentUuid")
);
CREATE INDEX "IX_Tombstone_DeletedAt" ON "dms"."Tombstone" ("DeletedAt");
CREATE TABLE "dms"."DocumentCache" (
    "DocumentId" bigint NOT NULL,
    "DocumentUuid" uuid NOT NULL,
    "ResourceKeyId" smallint NOT NULL,
    "ContentVersion" bigint NOT NULL,
    "LastModifiedAt" timestamptz NOT NULL,
    "Body" text NOT NULL,
    "BodyHash" bytea NOT NULL,
    "ComputedAt" timestamptz NOT NULL,
    CONSTRAINT "PK_DocumentCache" PRIMARY KEY ("DocumentId"),
    CONSTRAINT "UX_DocumentCache_DocumentUuid" UNIQUE ("DocumentUuid"),
    CONSTRAINT "FK_DocumentCache_Document" FOREIGN KEY ("DocumentId")
        REFERENCES "dms"."Document" ("DocumentId") ON DELETE CASCADE
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05);
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        ALTER TABLE "dms"."DocumentCache" ALTER COLUMN "Body" SET COMPRESSION lz4;
    END IF;
END
$$;
CREATE TABLE "dms"."Cascade" (
    "DocumentId" bigint NOT NULL,
    "ContentVersion" bigint NOT NULL,
    "TransactionId" xid8 NOT NULL,
    "Cursor" bigint NOT NULL DEFAULT 0,
    "OpenedAt" timestamptz NOT NULL,
    CONSTRAINT "PK_Cascade" PRIMARY KEY ("DocumentId", "ContentVersion")
) WITH (fillfactor = 70, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0);
CREATE TABLE "dms"."ProjectionProgress" (
    "Consumer" text NOT NULL,
    "Position" pg_lsn,
    "WatermarkSnapshot" pg_snapshot,
    "WatermarkLsn" pg_lsn,
    "Epoch" uuid,
    "SystemIdentifier" text,
    "Timeline" integer,
    "DatabaseUuid" uuid,
    "Term" bigint NOT NULL DEFAULT 0,
    "UpdatedAt" timestamptz NOT NULL,
    "Stream" text,
    "History" bigint NOT NULL DEFAULT 0,
    CONSTRAINT "PK_ProjectionProgress" PRIMARY KEY ("Consumer")
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0);
CREATE PUBLICATION "millstream_outbox" FOR TABLE "dms"."Outbox"
    WITH (publish = 'insert', publish_via_partition_root = true);
