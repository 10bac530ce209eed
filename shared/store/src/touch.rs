//! Bumps the columns by which the application notices a foreign write: its lock version, its own time of change. A time is written in the form the column holds.

use sea_orm::DbBackend;

use crate::dialect::quote;
use crate::rows::Mapped;

/// Numbers above this are milliseconds since 1970, those below are seconds.
const MILLIS_FROM: &str = "100000000000";

/// What an update of a row sets besides its fields; `t` is the row as it was.
pub(crate) fn sets(backend: DbBackend, mapped: &Mapped) -> Vec<String> {
    let touch = &mapped.spec.touch;
    let version = touch.version_column.iter().map(|column| {
        let column = quote(column);
        format!("{column} = COALESCE(t.{column}, 0) + 1")
    });
    let time = touch.updated_at.iter().map(|column| {
        let old = format!("t.{}", quote(column));
        format!("{} = {}", quote(column), time(backend, mapped.shape.type_of(column), Some(&old)))
    });
    version.chain(time).collect()
}

/// Columns of a new row with their values. A counter begins where the table says, or at 0.
pub(crate) fn of_new_row(backend: DbBackend, mapped: &Mapped) -> Vec<(String, String)> {
    let touch = &mapped.spec.touch;
    let without_default = |column: &&String| mapped.shape.column(column).is_some_and(|column| column.default.is_none());
    let version = touch.version_column.iter().filter(without_default).map(|column| (quote(column), "0".to_owned()));
    let time = touch.updated_at.iter().map(|column| (quote(column), time(backend, mapped.shape.type_of(column), None)));
    version.chain(time).collect()
}

/// The present time as the column's type, or as the value that is there, writes it. UTC where the form names no zone.
fn time(backend: DbBackend, sql_type: &str, old: Option<&str>) -> String {
    let number = |cast: &str| match old {
        Some(old) => format!("(CASE WHEN {old} > {MILLIS_FROM} THEN {{now}} ELSE {{now}} / 1000 END){cast}"),
        None => format!("({{now}} / 1000){cast}"),
    };
    if backend == DbBackend::Postgres {
        let now = "to_timestamp({now} / 1000.0)";
        return match sql_type {
            kind if kind.starts_with("timestamp") && kind.ends_with("with time zone") => now.to_owned(),
            kind if kind.starts_with("timestamp") => format!("({now} AT TIME ZONE 'UTC')"),
            "bigint" | "integer" | "numeric" | "double precision" => number(&format!("::{sql_type}")),
            kind => format!("to_char({now} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS')::{kind}"),
        };
    }
    let text = |form: &str| format!("strftime('{form}', {{now}} / 1000.0, 'unixepoch')");
    let (spaced, iso) = (text("%Y-%m-%d %H:%M:%f"), text("%Y-%m-%dT%H:%M:%fZ"));
    match old {
        Some(old) => {
            let number = number("");
            format!("CASE WHEN typeof({old}) = 'integer' THEN {number} WHEN {old} LIKE '%T%Z' THEN {iso} ELSE {spaced} END")
        }
        None if sql_type.to_ascii_uppercase().contains("INT") => number(""),
        None => spaced,
    }
}
