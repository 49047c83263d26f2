//! Runs the test suite of all sources on the sources that read the database directly.

mod logical {
    crate::source_suite::suite_of!(crate::support::Bed::new(crate::support::Kind::Logical));
}

mod poll {
    crate::source_suite::suite_of!(crate::support::Bed::new(crate::support::Kind::Poll));
}
