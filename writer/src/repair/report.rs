//! The steps of a repair, collected by document.

use millstream_schema::plan::Mapping;
use millstream_store::load::DocumentHead;
use millstream_store::repair::{DocumentRepair, RepairAction, RowPlan};
use std::collections::BTreeMap;

/// The repairs of documents, by DocumentId.
pub(super) struct Repairs<'m> {
    mapping: &'m Mapping,
    documents: BTreeMap<i64, DocumentRepair>,
}

impl<'m> Repairs<'m> {
    pub(super) fn new(mapping: &'m Mapping) -> Self {
        Self { mapping, documents: BTreeMap::new() }
    }

    /// Adds the steps that are planned for the rows of a document.
    pub(super) fn planned(&mut self, plan: &RowPlan) {
        if let Some(reason) = &plan.underivable {
            self.leave(&plan.head, reason.clone());
        }
        for action in plan.actions() {
            self.add(&plan.head, action);
        }
    }

    /// Adds a step.
    pub(super) fn add(&mut self, head: &DocumentHead, action: RepairAction) {
        self.document(head).actions.push(action);
    }

    /// Adds damage that is left.
    pub(super) fn leave(&mut self, head: &DocumentHead, reason: String) {
        self.document(head).left.push(reason);
    }

    /// Adds an identity that cannot be computed, unless the document's rows are reported already.
    pub(super) fn leave_uncomputable(&mut self, head: &DocumentHead, reason: &str) {
        let document = self.document(head);
        if document.left.is_empty() {
            document.left.push(format!("its identity cannot be computed: {reason}"));
        }
    }

    /// The documents with steps or damage left.
    pub(super) fn into_documents(self) -> Vec<DocumentRepair> {
        self.documents.into_values().collect()
    }

    fn document(&mut self, head: &DocumentHead) -> &mut DocumentRepair {
        let mapping = self.mapping;
        self.documents.entry(head.document_id).or_insert_with(|| DocumentRepair {
            uuid: head.uuid,
            resource: mapping.by_key(head.key).map_or_else(String::new, |ix| {
                let plan = mapping.resource(ix);
                format!("{}/{}", plan.project_endpoint, plan.resource_name)
            }),
            ..DocumentRepair::default()
        })
    }
}
