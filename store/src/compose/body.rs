//! One walk of the body tree over the rows of a type: bodies as bytes, nothing in between.
//!
//! The rows of every table come ordered by key, and the walk reaches the rows of a table in the same order, so one
//! cursor per table joins them. A member is written name first, and removed again if it turns out to be absent.

use super::error::ComposeProblem;
use super::value::{write_canonical, write_json, write_string};
use crate::load::{Lookups, TypeRows};
use millstream_schema::plan::{
    Array, ColumnType, Extension, ExtensionProject, Item, Node, Object, ResourcePlan, TablePlan,
};

/// Composes the documents of one type, in ascending order of DocumentId.
pub(super) struct BodyComposer<'a> {
    plan: &'a ResourcePlan,
    rows: &'a TypeRows,
    lookups: &'a Lookups,
    /// Each table's row: inside its scope the current one, outside the next one.
    cursors: Vec<usize>,
    /// Ordinals of the collections that the walk is in, the outermost first.
    ordinals: Vec<i32>,
    document_id: i64,
    out: Vec<u8>,
}

type Written = Result<bool, ComposeProblem>;

impl<'a> BodyComposer<'a> {
    pub(super) fn new(plan: &'a ResourcePlan, rows: &'a TypeRows, lookups: &'a Lookups) -> Self {
        let cursors = vec![0; rows.tables.len()];
        Self { plan, rows, lookups, cursors, ordinals: Vec::new(), document_id: 0, out: Vec::new() }
    }

    /// Composes the stored body of a document. Call it in ascending order of documents, once per document.
    pub(super) fn compose(&mut self, document_id: i64) -> Result<Vec<u8>, ComposeProblem> {
        self.document_id = document_id;
        self.ordinals.clear();
        self.out.clear();
        self.skip_to(document_id);
        if !self.is_here(0, 0) {
            let table = self.table(0)?.qualified.clone();
            return Err(ComposeProblem::RootRowMissing { table });
        }
        self.out.push(b'{');
        self.members(&self.plan.body)?;
        self.out.push(b'}');
        self.advance(0);
        self.check_all_used()?;
        Ok(self.out.as_slice().to_vec())
    }

    /// Skips rows that an earlier document left unused because it could not be composed.
    fn skip_to(&mut self, document_id: i64) {
        for (cursor, table) in self.cursors.iter_mut().zip(&self.rows.tables) {
            while table.document_id(*cursor).is_some_and(|found| found < document_id) {
                *cursor += 1;
            }
        }
    }

    fn check_all_used(&self) -> Result<(), ComposeProblem> {
        for (at, (cursor, table)) in self.cursors.iter().zip(&self.rows.tables).enumerate() {
            if table.document_id(*cursor) == Some(self.document_id) {
                return Err(ComposeProblem::OrphanRows { table: self.table(at)?.qualified.clone() });
            }
        }
        Ok(())
    }

    /// Writes the members of an object; returns whether there were any.
    fn members(&mut self, object: &'a Object) -> Written {
        let mut any = false;
        for member in &object.members {
            let mark = self.out.len();
            if any {
                self.out.push(b',');
            }
            write_string(&mut self.out, &member.name);
            self.out.push(b':');
            if self.node(&member.node)? {
                any = true;
            } else {
                self.out.truncate(mark);
            }
        }
        Ok(any)
    }

    /// Writes a value; returns whether there was one. The caller removes what was written of an absent one.
    fn node(&mut self, node: &'a Node) -> Written {
        match node {
            Node::Scalar { table, column, ty } => self.scalar(*table, *column, *ty),
            Node::Descriptor { site } => self.descriptor(*site),
            Node::Reference { site } => self.reference(*site),
            Node::Object(object) => self.object(object),
            Node::Array(array) => self.array(array),
            Node::Extension(extension) => self.extension(extension),
        }
    }

    fn object(&mut self, object: &'a Object) -> Written {
        self.out.push(b'{');
        let any = self.members(object)?;
        self.out.push(b'}');
        Ok(any)
    }

    fn scalar(&mut self, table: usize, column: usize, ty: ColumnType) -> Written {
        let Some(raw) = self.value(table, column) else { return Ok(false) };
        write_json(&mut self.out, ty, raw).map_err(|_| {
            let name = self.plan.tables.get(table).and_then(|plan| {
                let column = plan.columns.get(column)?;
                Some(format!("{}.\"{}\"", plan.qualified, column.name))
            });
            ComposeProblem::Unreadable { place: name.unwrap_or_default() }
        })?;
        Ok(true)
    }

    fn descriptor(&mut self, site: usize) -> Written {
        let site = self.plan.descriptors.get(site).ok_or_else(|| missing("a descriptor site"))?;
        let Some(target) = self.id(site.table, site.column) else { return Ok(false) };
        let Some(uri) = self.lookups.descriptors.get(&target) else {
            return Err(ComposeProblem::DescriptorMissing { path: site.path.clone(), target });
        };
        write_string(&mut self.out, uri);
        Ok(true)
    }

    fn reference(&mut self, site: usize) -> Written {
        let site = self.plan.references.get(site).ok_or_else(|| missing("a reference site"))?;
        let Some(target) = self.id(site.table, site.column) else { return Ok(false) };
        let path = || site.path.clone();
        let Some(values) = self.lookups.identities.get(&target) else {
            return Err(ComposeProblem::IdentityMissing { path: path(), target });
        };
        self.out.push(b'{');
        for (at, member) in site.members.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            write_string(&mut self.out, &member.name);
            self.out.push(b':');
            let position = member.position;
            let Some(text) = values.get(position) else {
                return Err(ComposeProblem::IdentityTooShort { path: path(), target, position, found: values.len() });
            };
            write_canonical(&mut self.out, member.ty, text)
                .map_err(|_| ComposeProblem::Unreadable { place: format!("{}.{}", site.path, member.name) })?;
        }
        self.out.push(b'}');
        Ok(true)
    }

    fn array(&mut self, array: &'a Array) -> Written {
        let table = array.table;
        let level = self.ordinals.len();
        let mut any = false;
        self.out.push(b'[');
        while self.is_here(table, level) {
            let Some(ordinal) = self.rows.tables[table].ordinal(self.cursors[table], level) else {
                return Err(missing("an ordinal in a collection's key"));
            };
            let mark = self.out.len();
            if any {
                self.out.push(b',');
            }
            self.ordinals.push(ordinal);
            let written = match &array.item {
                Item::Object(object) => {
                    self.object(object)?;
                    true
                }
                Item::Value(node) => self.node(node)?,
            };
            self.ordinals.pop();
            self.advance(table);
            if written {
                any = true;
            } else {
                self.out.truncate(mark);
            }
        }
        self.out.push(b']');
        Ok(any)
    }

    fn extension(&mut self, extension: &'a Extension) -> Written {
        let mut any = false;
        self.out.push(b'{');
        for project in &extension.projects {
            let mark = self.out.len();
            if any {
                self.out.push(b',');
            }
            if self.extension_project(project)? {
                any = true;
            } else {
                self.out.truncate(mark);
            }
        }
        self.out.push(b'}');
        Ok(any)
    }

    fn extension_project(&mut self, project: &'a ExtensionProject) -> Written {
        if !self.is_here(project.table, self.ordinals.len()) {
            return Ok(false);
        }
        write_string(&mut self.out, &project.endpoint);
        self.out.push(b':');
        let any = self.object(&project.object)?;
        self.advance(project.table);
        Ok(any)
    }

    /// Whether the table's cursor is at a row of this document below the current ordinals, of which `level` are
    /// compared.
    fn is_here(&self, table: usize, level: usize) -> bool {
        let Some(rows) = self.rows.tables.get(table) else { return false };
        let at = self.cursors[table];
        rows.document_id(at) == Some(self.document_id)
            && self.ordinals.iter().take(level).enumerate().all(|(n, ordinal)| rows.ordinal(at, n) == Some(*ordinal))
    }

    fn advance(&mut self, table: usize) {
        self.cursors[table] += 1;
    }

    fn value(&self, table: usize, column: usize) -> Option<&'a [u8]> {
        self.rows.tables.get(table)?.value(self.cursors[table], column)
    }

    fn id(&self, table: usize, column: usize) -> Option<i64> {
        self.rows.tables.get(table)?.id(self.cursors[table], column)
    }

    fn table(&self, at: usize) -> Result<&'a TablePlan, ComposeProblem> {
        self.plan.tables.get(at).ok_or_else(|| missing("a table"))
    }
}

fn missing(what: &str) -> ComposeProblem {
    ComposeProblem::Mapping { what: what.to_owned() }
}
