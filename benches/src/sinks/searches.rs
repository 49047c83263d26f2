//! Measures the duration of searches over HTTP with both engines on the loaded data.

use super::installation::Installation;
use crate::connection::{Connection, percent};
use crate::failure::Failure;
use crate::process::Process;
use crate::table;
use serde_json::Value;
use std::time::Instant;

/// Measured searches per kind, and preceding searches that are not measured.
const SEARCHES: usize = 300;
const WARM_UP: usize = 50;
/// Documents whose values are searched for.
const EXAMPLES: usize = 200;

/// One kind of search, with varying values so that no cache answers it.
struct SearchKind {
    name: &'static str,
    paths: Vec<String>,
}

/// Rows of the table for both engines.
#[derive(Default)]
pub(super) struct Searches {
    rows: Vec<Vec<String>>,
}

impl Searches {
    pub(super) async fn measure(
        &mut self,
        engine: &str,
        installation: &Installation,
        up: &Process,
    ) -> Result<(), Failure> {
        let mut connection = Connection::open(up.address).await?;
        for kind in kinds(installation, &mut connection).await? {
            let (mut times, mut found) = (Vec::new(), Vec::new());
            for (number, path) in kind.paths.iter().cycle().take(WARM_UP + SEARCHES).enumerate() {
                let started = Instant::now();
                let page = connection.json(path).await?;
                if number >= WARM_UP {
                    times.push(started.elapsed().as_secs_f64() * 1_000.0);
                    found.push(page["totalCount"].as_f64().ok_or("a search returned no total count")?);
                }
            }
            let figures = [0.5, 0.99].map(|share| format!("{:.2}", table::percentile(&times, share)));
            let row = [engine.to_owned(), kind.name.to_owned(), format!("{:.0}", table::median(&found))];
            self.rows.push(row.into_iter().chain(figures).collect());
        }
        Ok(())
    }

    pub(super) fn print(&self, documents: usize) {
        table::print(
            &format!(
                "searches through /search over {documents} documents, counted exactly, {SEARCHES} of each, one after the other"
            ),
            &["engine", "search", "found, median", "p50, ms", "p99, ms"],
            &self.rows,
        );
    }
}

async fn kinds(installation: &Installation, connection: &mut Connection) -> Result<Vec<SearchKind>, Failure> {
    let project = &installation.world.mapping.resources.iter().find(|one| one.endpoint == "students");
    let project = &project.ok_or("there are no students")?.project_endpoint;
    let page = connection.json(&format!("/data/{project}/students?limit={EXAMPLES}")).await?;
    let students = page.as_array().ok_or("a collection is not an array")?;
    let of_students = |before: &str, member: &str, after: &str| -> Result<Vec<String>, Failure> {
        let path = |student: &Value| {
            let value = student[member].as_str().ok_or_else(|| format!("a student without {member}"))?;
            Ok(format!("/search/{project}/students?{before}{}{after}&totalCount=true", percent(value)))
        };
        students.iter().map(path).collect()
    };
    let facets = (0..EXAMPLES).map(|number| {
        // All documents are newer. The seconds make each request different from the previous ones.
        let since = format!("2001-01-01T00:{:02}:{:02}Z", number / 60 % 60, number % 60);
        format!(
            "/search/{project}/studentSchoolAssociations?facet=entryGradeLevelDescriptor,schoolReference.schoolId&limit=0&totalCount=true&_lastModifiedDate:gte={since}"
        )
    });
    Ok(vec![
        SearchKind { name: "a word: q=", paths: of_students("q=", "firstName", "")? },
        SearchKind { name: "equality: lastSurname=", paths: of_students("lastSurname=", "lastSurname", "")? },
        SearchKind {
            name: "range and sort: birthDate:gte=, sort=-birthDate",
            paths: of_students("birthDate:gte=", "birthDate", "&sort=-birthDate")?,
        },
        SearchKind { name: "two facets of all studentSchoolAssociations", paths: facets.collect() },
    ])
}
