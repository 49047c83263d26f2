//! Rows are read by column name: a positional read breaks silently when a statement changes.

use syn::visit::{self, Visit};

use crate::source::is_test_only;
use crate::{Finding, Module, SourceFile};

/// Modules that execute generated resource plans, whose columns have positions and no fixed names.
const PLANS: [&str; 2] = ["store/src/load/", "store/src/compose/"];

/// Returns every `row.get(0)` and `try_get(0)` outside generated resource plans.
#[must_use]
pub fn check(modules: &[Module<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Module { file, syntax } in modules {
        if is_exempt(file) {
            continue;
        }
        let mut visitor = Reads(Vec::new());
        visitor.visit_file(syntax);
        findings.extend(
            visitor
                .0
                .into_iter()
                .map(|line| file.finding(line, "a positional column read: read the column by its name")),
        );
    }
    findings
}

fn is_exempt(file: &SourceFile) -> bool {
    matches!(file.crate_name(), "testkit" | "benches") || PLANS.iter().any(|plan| file.path.starts_with(plan))
}

struct Reads(Vec<usize>);

impl<'ast> Visit<'ast> for Reads {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test_only(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let is_positional =
            matches!(call.args.first(), Some(syn::Expr::Lit(literal)) if matches!(literal.lit, syn::Lit::Int(_)));
        let is_row = call.method == "try_get" || (call.method == "get" && is_named_row(&call.receiver));
        if is_positional && is_row {
            self.0.push(call.method.span().start().line);
        }
        visit::visit_expr_method_call(self, call);
    }
}

fn is_named_row(receiver: &syn::Expr) -> bool {
    match receiver {
        syn::Expr::Path(path) => path.path.segments.last().is_some_and(|last| last.ident.to_string().contains("row")),
        syn::Expr::Reference(inner) => is_named_row(&inner.expr),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::findings;

    #[test]
    fn positional_reads_are_found_and_reads_by_name_are_not() {
        let text = "fn f(row: &Row, list: &[u8]) {\n    row.try_get(0);\n    row.get::<_, i64>(1);\n    list.get(0);\n    \
                    row.try_get(\"DocumentId\");\n}";
        let lines: Vec<usize> =
            findings(check, &[SourceFile::new("store/src/a.rs", text)]).iter().map(|found| found.line).collect();
        assert_eq!(lines, [2, 3]);
        assert_eq!(findings(check, &[SourceFile::new("store/src/load/rows.rs", text)]), []);
    }
}
