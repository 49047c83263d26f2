//! The HTTP surface on a real database: documents, pages and every query field.

mod cached;
mod documents;
mod equality;
mod pages;
mod queries;
mod real_schema;
mod site;
