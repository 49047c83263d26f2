//! The suite of all sources, on those that read the database itself.

mod logical {
    crate::source_suite::suite_of!(crate::support::Bed::new(crate::support::Kind::Logical));
}

mod poll {
    crate::source_suite::suite_of!(crate::support::Bed::new(crate::support::Kind::Poll));
}
