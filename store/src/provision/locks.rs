//! The number of locks that a script takes at once.
//!
//! A transaction holds a lock on every relation that it creates until it ends, and the server has room for a fixed
//! number of locks. Running out happens late, fails other sessions' statements too, and reports "out of shared memory",
//! so provisioning checks beforehand.

/// Locks that are not counted one by one: catalogs, the schemas' own entries, the outbox partitions' inherited indexes.
const OVERHEAD: u64 = 64;
/// Row width from which PostgreSQL gives a table a TOAST table (a quarter of a page, less headers).
const TOAST_THRESHOLD_BYTES: u64 = 2_000;
/// Longest encoding of a character.
const CHARACTER_BYTES: u64 = 4;

/// An upper estimate of the locks that executing `ddl` in one transaction takes: one per table, index, sequence,
/// view and schema, and two per table with values that may be stored out of line.
pub fn locks_needed(ddl: &str) -> u64 {
    OVERHEAD + ddl.split(";\n").map(statement_locks).sum::<u64>()
}

fn statement_locks(statement: &str) -> u64 {
    let statement: String =
        statement.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n");
    let statement = statement.trim_start();
    let created = statement.starts_with("CREATE ") && !statement.starts_with("CREATE PUBLICATION");
    let occurrences = |word: &str| statement.matches(word).count() as u64;
    let indexes = occurrences(" PRIMARY KEY") + occurrences(" UNIQUE (");
    let sequences = occurrences(" AS IDENTITY");
    let toast = if statement.starts_with("CREATE TABLE") && may_need_toast(statement) { 2 } else { 0 };
    u64::from(created) + indexes + sequences + toast
}

fn may_need_toast(create_table: &str) -> bool {
    let unlimited = [" text", " bytea", " json", " pg_snapshot"].iter().any(|ty| create_table.contains(ty));
    let limited: u64 = create_table
        .split(" varchar(")
        .skip(1)
        .filter_map(|rest| rest.split(')').next()?.parse::<u64>().ok())
        .map(|characters| characters * CHARACTER_BYTES)
        .sum();
    unlimited || limited >= TOAST_THRESHOLD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_counted() {
        let ddl = "-- A table; with a remark.\nCREATE TABLE \"a\" (\n  \"x\" bigint,\n  \"y\" varchar(100),\n  \
                   CONSTRAINT \"p\" PRIMARY KEY (\"x\"),\n  CONSTRAINT \"u\" UNIQUE (\"y\")\n);\n\
                   CREATE INDEX \"i\" ON \"a\" (\"y\");\nALTER TABLE \"a\" ADD CONSTRAINT \"f\" FOREIGN KEY (\"x\") \
                   REFERENCES \"b\" (\"x\");\nCREATE TABLE \"wide\" (\"z\" text);\n";
        assert_eq!(locks_needed(ddl) - OVERHEAD, 3 + 1 + 3);
        assert_eq!(locks_needed(""), OVERHEAD);
    }
}
