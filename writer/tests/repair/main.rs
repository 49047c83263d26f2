//! Damage of every kind is found, planned, repaired and found no more; what cannot be derived is named and left.

mod cases;
mod support;

use cases::{CASES, Case, Expected};
use millstream_store::repair::RepairAction;
use millstream_testkit::Holder;
use millstream_writer::WriterOptions;
use std::time::Duration;
use support::Loaded;

/// Damages one thing, checks what the audit names, what a dry run plans, and that the repair leaves nothing.
async fn check(case: &Case) {
    let loaded = Loaded::new().await;
    let (id, uuid) = loaded.first(case.resource).await;
    loaded.damage(&case.damage.replace("{id}", &id.to_string())).await;
    let name = case.name;

    let before = loaded.audit().await;
    assert!(before.differences.contains_key(&case.kind), "{name}: not found: {before:#?}");
    let concerned = before.concerned.iter().any(|(of, kinds)| of == uuid && kinds.contains(&case.kind));
    assert!(concerned, "{name}: the document is not named: {:#?}", before.concerned);
    let documents: Vec<_> = before.concerned.iter().map(|(uuid, _)| uuid).collect();

    let versions = loaded.versions().await;
    let planned = loaded.repairer.plan(&documents).await.expect("planned");
    assert_eq!(loaded.audit().await.difference_count(), before.difference_count(), "{name}: a dry run changes nothing");
    assert_eq!(loaded.versions().await, versions, "{name}: a dry run draws nothing");

    let repaired = loaded.repairer.repair(&documents).await.expect("repaired");
    let of = |repairs: &[millstream_store::repair::DocumentRepair]| {
        repairs.iter().find(|repair| repair.uuid == uuid).cloned().unwrap_or_default()
    };
    let (planned, done) = (of(&planned), of(&repaired));
    let same = planned
        .actions
        .iter()
        .all(|action| done.actions.iter().any(|done| std::mem::discriminant(done) == std::mem::discriminant(action)));
    assert!(same, "{name}: the dry run said {planned:?}, the repair did {done:?}");
    loaded.project().await;
    let after = loaded.audit().await;
    match case.outcome {
        Expected::Repaired { new_version } => {
            assert!(after.is_clean(), "{name}: after the repair: {after:#?}");
            let drawn = loaded.versions().await[&uuid] > versions[&uuid];
            assert_eq!(drawn, new_version, "{name}: {done:?}");
            assert!(done.left.is_empty(), "{name}: {done:?}");
            let again = loaded.repairer.repair(&documents).await.expect("repaired");
            assert!(again.is_empty(), "{name}: a second repair does nothing: {again:?}");
        }
        Expected::Left { reason } => {
            assert!(after.differences.contains_key(&case.kind), "{name}: left: {after:#?}");
            let told = done.left.iter().any(|left| left.contains(reason));
            assert!(told || reason.is_empty(), "{name}: not told {reason:?}: {done:?}");
            assert_eq!(loaded.versions().await, versions, "{name}: nothing is changed");
        }
    }
    loaded.check_outbox().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_every_kind_is_repaired_or_left_by_name() {
    let mut failed = Vec::new();
    for case in CASES {
        if let Err(panic) = tokio::spawn(check(case)).await {
            failed.push(format!("{}: {panic}", case.name));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// A repaired identity reaches every document that embeds it, also through a cascade: each gets a new version and a change
/// record.
#[tokio::test(flavor = "multi_thread")]
async fn a_repaired_identity_reaches_every_document_that_embeds_it() {
    for strict_max in [1_000, 0] {
        let loaded = Loaded::with_strict_max(strict_max).await;
        let (session, uuid) = loaded.first("Session").await;
        let referrers = loaded.referrers(session).await;
        assert!(referrers.len() > 1, "documents refer to the session");
        loaded
            .damage(&format!(
                r#"UPDATE "dms"."ReferentialIdentity" SET "IdentityValues" = array_replace("IdentityValues", "IdentityValues"[cardinality("IdentityValues")], 'stale') WHERE "DocumentId" = {session}"#
            ))
            .await;
        let before = loaded.versions().await;
        let repaired = loaded.repairer.repair(&[uuid]).await.expect("repaired");
        let rewrites = |action: &RepairAction| matches!(action, RepairAction::RewriteIdentity { propagates: true, .. });
        assert!(
            repaired.iter().any(|repair| repair.uuid == uuid && repair.actions.iter().any(rewrites)),
            "{repaired:?}"
        );
        loaded.project().await;
        let after = loaded.versions().await;
        for referrer in referrers {
            assert!(after[&referrer] > before[&referrer], "strict_max {strict_max}: {referrer} kept its version");
        }
        let report = loaded.audit().await;
        assert!(report.is_clean(), "strict_max {strict_max}: {report:#?}");
        loaded.check_outbox().await;
    }
}

/// A lock that another session forgot: the repair waits as briefly as a rename, names the document, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_document_is_left_by_name_and_the_others_are_repaired() {
    let lock_timeout = Duration::from_millis(200);
    let loaded = Loaded::with_options(WriterOptions { lock_timeout, ..WriterOptions::default() }).await;
    let ((session, uuid), (period, other)) = (loaded.first("Session").await, loaded.first("ClassPeriod").await);
    loaded
        .damage(&format!(
            r#"UPDATE "dms"."ReferentialIdentity" SET "IdentityValues" = array_replace("IdentityValues", "IdentityValues"[cardinality("IdentityValues")], 'stale') WHERE "DocumentId" = {session};
               DELETE FROM "dms"."IdentityLock" WHERE "DocumentId" = {period}"#
        ))
        .await;
    let share = format!(r#"SELECT 1 FROM "dms"."IdentityLock" WHERE "DocumentId" = {session} FOR SHARE"#);
    let holder = Holder::hold(loaded.test_database(), &share).await;
    let repaired = tokio::time::timeout(Duration::from_secs(60), loaded.repairer.repair(&[uuid, other])).await;
    let repaired = repaired.expect("it does not wait for the lock").expect("the database is there");
    let of = |uuid| repaired.iter().find(|repair| repair.uuid == uuid).unwrap_or_else(|| panic!("{repaired:?}"));
    assert!(of(uuid).actions.is_empty() && !of(uuid).left.is_empty(), "{repaired:?}");
    assert!(!of(other).actions.is_empty() && of(other).left.is_empty(), "{repaired:?}");
    holder.roll_back().await;
    loaded.repairer.repair(&[uuid]).await.expect("repaired");
    loaded.project().await;
    let report = loaded.audit().await;
    assert!(report.is_clean(), "{report:#?}");
}

/// A rename whose rows were written and whose identities were not: all dependents are wrong and all are repaired.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_that_stopped_half_way_is_finished() {
    let loaded = Loaded::new().await;
    let (session, _) = loaded.first("Session").await;
    loaded
        .damage(&format!(r#"UPDATE "meadow"."Session" SET "SessionName" = 'Autumn' WHERE "DocumentId" = {session}"#))
        .await;
    let before = loaded.audit().await;
    assert!(before.concerned.len() > 2, "{before:#?}");
    let documents: Vec<_> = before.concerned.iter().map(|(uuid, _)| uuid).collect();
    loaded.repairer.repair(&documents).await.expect("repaired");
    loaded.project().await;
    let after = loaded.audit().await;
    assert!(after.is_clean(), "{after:#?}");
}

/// Two documents that have each other's ReferentialId are repaired together, even if only one of them is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn exchanged_referential_ids_are_repaired() {
    let loaded = Loaded::new().await;
    let ids = loaded.two("Student").await;
    let (a, b) = (ids[0].0, ids[1].0);
    let of = r#""dms"."ReferentialIdentity""#;
    loaded
        .damage(&format!(
            r#"CREATE TEMP TABLE x AS SELECT * FROM {of} WHERE "DocumentId" IN ({a}, {b});
               DELETE FROM {of} WHERE "DocumentId" IN ({a}, {b});
               INSERT INTO {of} SELECT "ReferentialId", {a} + {b} - "DocumentId", "ResourceKeyId", "IdentityValues" FROM x;
               DROP TABLE x"#
        ))
        .await;
    let report = loaded.repairer.repair(&[ids[0].1]).await.expect("repaired");
    assert_eq!(report.len(), 2, "{report:?}");
    loaded.project().await;
    let after = loaded.audit().await;
    assert!(after.is_clean(), "{after:#?}");
}

/// Two documents with one natural key: no repair can tell which is right.
#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_two_documents_have_is_left_with_both_named() {
    let loaded = Loaded::new().await;
    let ids = loaded.two("Student").await;
    let (a, b) = (ids[0], ids[1]);
    loaded
        .damage(&format!(
            r#"DO $$ DECLARE c text; BEGIN
                 FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = '"meadow"."Student"'::regclass AND contype = 'u' LOOP
                   EXECUTE format('ALTER TABLE "meadow"."Student" DROP CONSTRAINT %I CASCADE', c);
                 END LOOP;
               END $$;
               UPDATE "meadow"."Student" SET "StudentUniqueId" = (SELECT "StudentUniqueId" FROM "meadow"."Student" WHERE "DocumentId" = {})
                WHERE "DocumentId" = {}"#,
            a.0, b.0
        ))
        .await;
    let report = loaded.repairer.repair(&[b.1]).await.expect("reported");
    let left = report.iter().find(|repair| repair.uuid == b.1).map(|repair| repair.left.join("; ")).unwrap_or_default();
    assert!(left.contains(&a.0.to_string()), "{report:?}");
}
