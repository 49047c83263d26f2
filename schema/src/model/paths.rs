//! The path grammar: `$`, then `.name` and `[*]` only.

/// Parent of a path: `$.a[*].b` → `$.a[*]`. The root stays the root.
pub(crate) fn parent(path: &str) -> &str {
    path.rfind('.').map_or(path, |at| &path[..at])
}

/// Last name of a path: `$.a[*].b` → `b`.
pub(crate) fn leaf(path: &str) -> &str {
    path.rfind('.').map_or(path, |at| &path[at + 1..])
}

/// The innermost array items that a path lies in: `$.a[*].b.c` → `$.a[*]`; `$.b` → `$`.
pub(crate) fn array_scope(path: &str) -> &str {
    path.rfind("[*]").map_or("$", |at| &path[..at + 3])
}

/// Segments of a path below a scope: (`$.a[*].b.c`, `$.a[*]`) → `["b", "c"]`. Empty if the path is not below it.
pub(crate) fn below<'a>(path: &'a str, scope: &str) -> Vec<&'a str> {
    path.strip_prefix(scope)
        .and_then(|rest| rest.strip_prefix('.'))
        .map(|rest| rest.split('.').collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart_by_the_grammar() {
        assert_eq!(parent("$.a[*].bReference.c"), "$.a[*].bReference");
        assert_eq!(leaf("$.a[*].bReference.c"), "c");
        assert_eq!(array_scope("$.a[*].b.c"), "$.a[*]");
        assert_eq!(array_scope("$.b"), "$");
        assert_eq!(below("$.a[*].b.c", "$.a[*]"), ["b", "c"]);
        assert!(below("$.ab.c", "$.a").is_empty());
    }
}
