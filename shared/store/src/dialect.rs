//! Where PostgreSQL and SQLite say the same thing in different words.
//!
//! Lists and whole pages travel as one text parameter: an array literal that PostgreSQL unnests, a JSON array that SQLite's `json_each` unfolds. Both cost one
//! parse on the server and nothing per value here.

use std::borrow::Cow;

use sea_orm::{DbBackend, Value};

/// Replaces `{lock}` and `{skip}` by PostgreSQL's row locks (SQLite has one writer and needs none). `{now}` is replaced where the statement is run.
pub(crate) fn render(backend: DbBackend, sql: &str) -> Cow<'_, str> {
    if !sql.contains("{lock}") && !sql.contains("{skip}") {
        return Cow::Borrowed(sql);
    }
    let (lock, skip) = match backend {
        DbBackend::Postgres => ("FOR UPDATE", "FOR UPDATE SKIP LOCKED"),
        _ => ("", ""),
    };
    Cow::Owned(sql.replace("{lock}", lock).replace("{skip}", skip))
}

/// An identifier in double quotes.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text literal.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `IN (…)` over the list in parameter `$n`, each item cast to `sql_type` where types are strict. A sub-select rather than `= ANY`: without statistics a planner
/// takes the index for a few rows of unknown number, where it would scan the table comparing each row with each item of an array.
pub(crate) fn in_list(backend: DbBackend, n: usize, sql_type: &str) -> String {
    match backend {
        DbBackend::Postgres if sql_type == "text" => format!("IN (SELECT unnest(${n}::text[]))"),
        DbBackend::Postgres => format!("IN (SELECT unnest(${n}::text[]::{sql_type}[]))"),
        _ => format!("IN (SELECT value FROM json_each(${n}))"),
    }
}

/// The parameter for `in_list`.
pub(crate) fn list<'a>(backend: DbBackend, items: impl Iterator<Item = &'a str>) -> Value {
    column(backend, items.map(Some))
}

/// A `FROM` item `v(c0, c1, …, n)` of `width` text columns, with its parameters from `$first` on. `cells` is row after row; `n` counts the rows in order.
pub(crate) fn table(backend: DbBackend, first: usize, width: usize, cells: &[Option<&str>]) -> (String, Vec<Value>) {
    let width = width.max(1);
    if backend == DbBackend::Postgres {
        let names: Vec<String> = (0..width).map(|at| format!("c{at}")).collect();
        let lists: Vec<String> = (0..width).map(|at| format!("${}::text[]", first + at)).collect();
        let values = (0..width).map(|at| column(backend, cells.iter().skip(at).step_by(width).copied())).collect();
        return (format!("unnest({}) WITH ORDINALITY AS v({}, n)", lists.join(", "), names.join(", ")), values);
    }
    let names: Vec<String> = (0..width).map(|at| format!("json_extract(j.value, '$[{at}]') AS c{at}")).collect();
    let rows: Vec<&[Option<&str>]> = cells.chunks(width).collect();
    let rows = serde_json::to_string(&rows).unwrap_or_else(|_| "[]".to_owned());
    (format!("(SELECT {}, j.key AS n FROM json_each(${first}) j) AS v", names.join(", ")), vec![rows.into()])
}

/// One list as a parameter.
pub(crate) fn column<'a>(backend: DbBackend, items: impl Iterator<Item = Option<&'a str>>) -> Value {
    let mut out = String::new();
    match backend {
        DbBackend::Postgres => {
            out.push('{');
            for (at, item) in items.enumerate() {
                if at > 0 {
                    out.push(',');
                }
                match item {
                    None => out.push_str("NULL"),
                    Some(text) => {
                        out.push('"');
                        push_escaped(&mut out, text);
                        out.push('"');
                    }
                }
            }
            out.push('}');
        }
        _ => {
            out.push('[');
            for (at, item) in items.enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(&item).unwrap_or_else(|_| "null".to_owned()));
            }
            out.push(']');
        }
    }
    Value::from(out)
}

/// Quotes and backslashes are escaped; NUL, which cannot be stored in a PostgreSQL text, is dropped rather than failing its whole page.
fn push_escaped(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0)) {
        let (clean, special) = rest.split_at(at);
        out.push_str(clean);
        match special.as_bytes()[0] {
            0 => {}
            byte => {
                out.push('\\');
                out.push(char::from(byte));
            }
        }
        rest = &special[1..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(backend: DbBackend, items: &[Option<&str>], expect: &str) {
        assert_eq!(column(backend, items.iter().copied()), Value::from(expect.to_owned()));
    }

    #[test]
    fn a_list_keeps_quotes_commas_braces_and_absent_values_apart() {
        let items = [Some("a\"b\\c"), None, Some("{x,y}"), Some("NULL"), Some("")];
        check(DbBackend::Postgres, &items, r#"{"a\"b\\c",NULL,"{x,y}","NULL",""}"#);
        check(DbBackend::Postgres, &[Some("a\0é\"")], r#"{"aé\""}"#);
        check(DbBackend::Sqlite, &items, r#"["a\"b\\c",null,"{x,y}","NULL",""]"#);
    }
}
