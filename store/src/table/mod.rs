//! The `dms.*` tables, each with the only module that holds SQL on it.
//!
//! A module owns its statements (texts in `sql/table`), one row type per shape with one constructor that reads columns by
//! name, and the functions or typed statements that other crates use.
