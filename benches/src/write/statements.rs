//! The time of each statement in PostgreSQL (`--statements`, by pg_stat_statements, which costs some time itself).

use crate::failure::Failure;
use crate::table;
use millstream_store::connect::Session;

/// Statements that are printed.
const TOP: i64 = 30;
/// Characters of a statement that are printed.
const TEXT: i64 = 110;

/// Begins to count.
pub(crate) async fn start(session: &Session) -> Result<(), Failure> {
    Ok(session
        .batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements; SELECT pg_stat_statements_reset()")
        .await?)
}

/// Prints what took the most time since the start.
pub(crate) async fn print(session: &Session, documents: usize) -> Result<(), Failure> {
    let sql = "SELECT s.calls::float8, s.plans::float8, s.rows::float8, s.total_plan_time, s.total_exec_time,
                      regexp_replace(left(s.query, $2::int8::int4), '\\s+', ' ', 'g')
                 FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid AND d.datname = current_database()
                ORDER BY s.total_exec_time + s.total_plan_time DESC LIMIT $1";
    let mut rows = Vec::new();
    let mut sums = [0.0; 5];
    for (at, row) in session.query(sql, &[&1_000_i64, &TEXT]).await?.iter().enumerate() {
        let values: [f64; 5] = std::array::from_fn(|column| row.get(column));
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        if (at as i64) < TOP {
            rows.push(line(values, documents, row.get(5)));
        }
    }
    rows.push(line(sums, documents, "all".to_owned()));
    let header = ["calls", "plans", "rows", "plan, us a call", "execute, us a call", "us a document", "statement"];
    table::print("statements", &header, &rows);
    Ok(())
}

fn line([calls, plans, rows, plan_ms, execute_ms]: [f64; 5], documents: usize, text: String) -> Vec<String> {
    vec![
        format!("{calls:.0}"),
        format!("{plans:.0}"),
        format!("{rows:.0}"),
        format!("{:.1}", plan_ms * 1e3 / calls),
        format!("{:.1}", execute_ms * 1e3 / calls),
        format!("{:.1}", (plan_ms + execute_ms) * 1e3 / documents as f64),
        text,
    ]
}
