//! JSON paths of ApiSchema files: `$`, then `.name` and `[*]` only (docs/design/edfi-model.md#edfi-4.7).

/// One step of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment<'a> {
    /// `.name`
    Member(&'a str),
    /// `[*]`
    Items,
}

/// Parses a path. `None` if it does not follow the grammar; `$` alone is the body itself.
pub(super) fn parse(path: &str) -> Option<Vec<Segment<'_>>> {
    let mut rest = path.strip_prefix('$')?;
    let mut segments = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("[*]") {
            segments.push(Segment::Items);
            rest = after;
        } else {
            let tail = rest.strip_prefix('.')?;
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            let (name, after) = tail.split_at(end);
            if !is_name(name) {
                return None;
            }
            segments.push(Segment::Member(name));
            rest = after;
        }
    }
    Some(segments)
}

/// Returns whether a name can be a step of a path.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(|c: char| matches!(c, '.' | '[' | ']' | '*' | '$') || c.is_whitespace() || c.is_control())
}

/// Returns whether the path leads through an array.
pub(super) fn has_array(path: &str) -> bool {
    path.contains("[*]")
}

/// Returns the innermost array items that contain a path: `$.a[*].b.c` → `$.a[*]`; `$.b` → `$`.
pub(crate) fn array_scope(path: &str) -> &str {
    path.rfind("[*]").map_or("$", |at| &path[..at + 3])
}

/// Returns the parent of a path: `$.a[*].bReference.c` → `$.a[*].bReference`. The root is its own parent.
pub(crate) fn parent(path: &str) -> &str {
    path.rfind('.').map_or(path, |at| &path[..at])
}

/// Returns the last name of a path: `$.a[*].b` → `b`.
pub(crate) fn leaf(path: &str) -> &str {
    path.rfind('.').map_or(path, |at| &path[at + 1..])
}

/// Returns the segments of a path below a scope: (`$.a[*].b.c`, `$.a[*]`) → `["b", "c"]`. Empty if the path is not
/// below the scope.
pub(crate) fn below<'a>(path: &'a str, scope: &str) -> Vec<&'a str> {
    path.strip_prefix(scope)
        .and_then(|rest| rest.strip_prefix('.'))
        .map(|rest| rest.split('.').collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Segment::{Items, Member};
    use super::*;

    #[test]
    fn the_grammar_is_members_and_items_only() {
        assert_eq!(parse("$"), Some(vec![]));
        assert_eq!(parse("$.a[*].b"), Some(vec![Member("a"), Items, Member("b")]));
        assert_eq!(parse("$._ext.my-project.c"), Some(vec![Member("_ext"), Member("my-project"), Member("c")]));
        for bad in
            ["", "a", "$a", "$.", "$..a", "$.a[0]", "$.a[*", "$.a b", "$['a']", "$.a.", "$.a[*]b", "$.*", "$.a.$b"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn scopes_and_parents_are_prefixes() {
        assert_eq!(array_scope("$.a[*].b[*].c"), "$.a[*].b[*]");
        assert_eq!(array_scope("$.a.c"), "$");
        assert_eq!(parent("$.a[*].bReference.c"), "$.a[*].bReference");
        assert_eq!(parent("$.c"), "$");
        assert_eq!(leaf("$.a[*].bReference.c"), "c");
        assert_eq!(below("$.a[*].b.c", "$.a[*]"), ["b", "c"]);
        assert!(below("$.ab.c", "$.a").is_empty());
    }
}
