//! Statements on `dms` tables stand in `store` alone: one owner per table.

use syn::visit::{self, Visit};

use crate::source::is_test_only;
use crate::{Finding, Module};

/// Crates whose modules may hold such statements: the owner, and those that only tests and measurements use.
const ALLOWED: [&str; 3] = ["store", "testkit", "benches"];

/// Returns every string literal in a module outside `store` that names a `dms` table.
#[must_use]
pub fn check(modules: &[Module<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Module { file, syntax } in modules.iter().filter(|module| !ALLOWED.contains(&module.file.crate_name())) {
        let mut visitor = Statements(Vec::new());
        visitor.visit_file(syntax);
        findings.extend(visitor.0.into_iter().map(|line| {
            file.finding(line, "a statement on a dms table: move it to store/src/table and call it from here")
        }));
    }
    findings
}

struct Statements(Vec<usize>);

impl<'ast> Visit<'ast> for Statements {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test_only(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    // Documentation is a string literal too.
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        if names_table(&literal.value()) {
            self.0.push(literal.span().start().line);
        }
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        literals(invocation.tokens.clone(), &mut self.0);
    }
}

fn names_table(text: &str) -> bool {
    let verbs = ["SELECT", "INSERT", "UPDATE", "DELETE", "FROM", "JOIN", "TRUNCATE", "ALTER", "CREATE", "COPY", "LOCK"];
    let is_statement = verbs.iter().any(|verb| text.contains(verb));
    is_statement && (text.contains("\"dms\".") || text.contains(" dms.\""))
}

/// Macro arguments are tokens, not expressions: `format!("SELECT …")`.
fn literals(tokens: proc_macro2::TokenStream, lines: &mut Vec<usize>) {
    for token in tokens {
        match token {
            proc_macro2::TokenTree::Group(group) => literals(group.stream(), lines),
            proc_macro2::TokenTree::Literal(literal) => {
                if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string())
                    && names_table(&text.value())
                {
                    lines.push(literal.span().start().line);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceFile;
    use crate::source::findings;

    const STATEMENT: &str = "const SQL: &str = r#\"SELECT 1 FROM \"dms\".\"Document\"\"#;";

    #[test]
    fn a_statement_outside_store_is_found_also_inside_a_macro() {
        let formatted = "fn f() {\n    let sql = format!(\"DELETE FROM \\\"dms\\\".\\\"{name}\\\"\");\n}";
        let files = [SourceFile::new("writer/src/a.rs", STATEMENT), SourceFile::new("cli/src/b.rs", formatted)];
        let found: Vec<(String, usize)> =
            findings(check, &files).into_iter().map(|finding| (finding.path, finding.line)).collect();
        assert_eq!(found, [("writer/src/a.rs".to_owned(), 1), ("cli/src/b.rs".to_owned(), 2)]);
    }

    #[test]
    fn store_tests_and_prose_may_name_tables() {
        let files = [
            SourceFile::new("store/src/a.rs", STATEMENT),
            SourceFile::new("writer/tests/a.rs", STATEMENT),
            SourceFile::new("writer/src/b.rs", &format!("#[cfg(test)]\nmod tests {{ {STATEMENT} }}")),
            SourceFile::new("writer/src/c.rs", "/// Rows of `dms.Document`, FROM \"dms\".\"Document\".\nstruct A;"),
            SourceFile::new("writer/src/d.rs", "const TABLE: &str = \"dms.Document is not there\";"),
        ];
        assert_eq!(findings(check, &files), []);
    }
}
