//! Valid schema names that are difficult to map to table and column names.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use std::collections::BTreeSet;

const MEMBERS: [&str; 38] = [
    "order",
    "user",
    "group",
    "select",
    "table",
    "column",
    "primary",
    "value",
    "code",
    "name",
    "beginDate",
    "endDate",
    "grade_level",
    "größe",
    "naïveName",
    "номер",
    "x",
    "weight2",
    "2ndChoice",
    "a-b",
    "_hidden",
    "series",
    "class",
    "address",
    "boxes",
    "categories",
    "null",
    "true",
    "ssn",
    "s",
    "references",
    "limit",
    "ordinal",
    "documentId",
    "contentVersion",
    "discriminator",
    "theNameOfThisMemberIsSoLongThatNoEngineOnEarthTakesItWholeAsTheNameOfAColumn",
    "theNameOfThisMemberIsSoLongThatNoEngineOnEarthTakesItWholeAsTheNameOfAnIndex",
];

const TYPES: [&str; 24] = [
    "User",
    "Order",
    "Group",
    "Table",
    "Select",
    "Column",
    "Constraint",
    "School",
    "Session",
    "Section",
    "Student",
    "Staff",
    "Class",
    "Series",
    "Address",
    "Program",
    "Index",
    "Grant",
    "View",
    "Type",
    "Année",
    "AnAssociationBetweenTwoThingsWithANameThatIsLongerThanAnythingThatAnEngineTakes",
    "AnAssociationBetweenTwoThingsWithANameThatIsLongerThanAnythingThatAnEngineTakesToo",
    "Default",
];

/// Unique names of one name space.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeSet<String>);

impl Names {
    /// Returns an unused member name. Some differ from another name only in case.
    pub(crate) fn member(&mut self, rng: &mut StdRng) -> String {
        self.unused(rng, &MEMBERS, |name, rng| {
            if rng.random_bool(0.1) && name.is_ascii() { name.to_ascii_lowercase() } else { name }
        })
    }

    /// Returns an unused type name.
    pub(crate) fn type_name(&mut self, rng: &mut StdRng) -> String {
        self.unused(rng, &TYPES, |name, _| name)
    }

    /// Marks a name as used; returns `false` if it was used already.
    pub(crate) fn take(&mut self, name: &str) -> bool {
        self.0.insert(folded(name))
    }

    fn unused(&mut self, rng: &mut StdRng, pool: &[&str], vary: impl Fn(String, &mut StdRng) -> String) -> String {
        loop {
            let base = pool.choose(rng).copied().unwrap_or("name").to_owned();
            let mut name = vary(base, rng);
            if self.0.contains(&folded(&name)) {
                name.push_str(&format!("{}", (b'A' + (rng.next_u32() % 26) as u8) as char));
                name.push_str(&format!("{}", rng.random_range(2..100)));
            }
            if self.take(&name) {
                return name;
            }
        }
    }
}

/// Normalizes a name like the derivation of table names: letters and digits only, singular, each word capitalized.
fn folded(name: &str) -> String {
    let mut upper = true;
    let mut out = String::new();
    for c in name.chars() {
        if !c.is_alphanumeric() {
            upper = true;
        } else {
            if upper {
                out.extend(c.to_uppercase())
            } else {
                out.push(c)
            }
            upper = false;
        }
    }
    out.trim_end_matches('s').trim_end_matches("ie").trim_end_matches('y').trim_end_matches('e').to_owned()
}
