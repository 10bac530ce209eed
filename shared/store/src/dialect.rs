//! Where PostgreSQL and SQLite say the same thing in different words.
//!
//! Lists and whole pages travel as text parameters: a list as an array literal that PostgreSQL unnests, a page as one text per column that it splits, either as a JSON
//! array that SQLite's `json_each` unfolds. Nothing is sent or declared per value.

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
        let (lists, values) = lists(first, width, cells);
        let names: Vec<String> = (0..width).map(|at| format!("c{at}")).collect();
        return (format!("unnest({}) WITH ORDINALITY AS v({}, n)", lists.join(", "), names.join(", ")), values);
    }
    let names: Vec<String> = (0..width).map(|at| format!("json_extract(j.value, '$[{at}]') AS c{at}")).collect();
    let rows: Vec<&[Option<&str>]> = cells.chunks(width).collect();
    let rows = serde_json::to_string(&rows).unwrap_or_else(|_| "[]".to_owned());
    (format!("(SELECT {}, j.key AS n FROM json_each(${first}) j) AS v", names.join(", ")), vec![rows.into()])
}

/// The same in the rows' own order, for a statement that needs neither `n` nor a join: PostgreSQL passes each row on as it splits the texts, where it would store
/// them all and sort them, a quarter of what inserting wide rows costs.
pub(crate) fn table_in_order(backend: DbBackend, first: usize, width: usize, cells: &[Option<&str>]) -> (String, Vec<Value>) {
    if backend != DbBackend::Postgres {
        let (source, values) = table(backend, first, width, cells);
        return (format!("{source} ORDER BY v.n"), values);
    }
    let (lists, values) = lists(first, width.max(1), cells);
    let columns: Vec<String> = lists.iter().enumerate().map(|(at, list)| format!("unnest({list}) AS c{at}")).collect();
    (format!("(SELECT {}) AS v", columns.join(", ")), values)
}

fn lists(first: usize, width: usize, cells: &[Option<&str>]) -> (Vec<String>, Vec<Value>) {
    let mut columns = vec![Split::default(); width];
    for row in cells.chunks(width) {
        for (column, cell) in columns.iter_mut().zip(row) {
            column.push(*cell);
        }
    }
    columns.into_iter().enumerate().map(|(at, column)| column.list(first + at)).unzip()
}

/// Between two items of a split text, and in place of NULL: control characters that no order system keeps in a column.
const BETWEEN: char = '\u{1f}';
const NOTHING: char = '\u{1e}';

/// A column of a page as one text, its items parted by a character that none of them holds. Splitting it costs PostgreSQL a tenth of parsing an array literal, in
/// which every quote of a base is escaped.
#[derive(Debug, Clone, Default)]
struct Split {
    text: String,
    items: usize,
    /// An item holds one of the two characters: the column travels as an array literal.
    mixed: Option<Vec<Option<String>>>,
}

impl Split {
    fn push(&mut self, item: Option<&str>) {
        if let Some(items) = &mut self.mixed {
            return items.push(item.map(str::to_owned));
        }
        // Without a branch per byte, so that the compiler looks at many at a time.
        let found = item.unwrap_or_default().bytes().fold((false, false), |(mark, nul), byte| {
            (mark | (byte == BETWEEN as u8) | (byte == NOTHING as u8), nul | (byte == 0))
        });
        if found.0 {
            let mut items = self.items();
            items.push(item.map(str::to_owned));
            self.mixed = Some(items);
            return;
        }
        if self.items > 0 {
            self.text.push(BETWEEN);
        }
        self.items += 1;
        match item {
            None => self.text.push(NOTHING),
            // NUL cannot be stored in a PostgreSQL text; it is dropped rather than failing its whole page.
            Some(item) if found.1 => self.text.extend(item.chars().filter(|letter| *letter != '\0')),
            Some(item) => self.text.push_str(item),
        }
    }

    fn items(&self) -> Vec<Option<String>> {
        let nothing = NOTHING.to_string();
        let items = self.text.split(BETWEEN).take(self.items);
        items.map(|item| (item != nothing).then(|| item.to_owned())).collect()
    }

    /// The array that parameter `$at` makes, and the parameter.
    fn list(self, at: usize) -> (String, Value) {
        // Splitting the empty text gives no item rather than an empty one.
        let items = if self.mixed.is_none() && self.items == 1 && self.text.is_empty() { Some(self.items()) } else { self.mixed };
        match items {
            Some(items) => (format!("${at}::text[]"), column(DbBackend::Postgres, items.iter().map(Option::as_deref))),
            None => (format!("string_to_array(${at}, E'\\x1F', E'\\x1E')"), self.text.into()),
        }
    }
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
    fn a_column_is_split_where_no_item_holds_the_mark_and_a_literal_where_one_does() {
        let check = |items: &[Option<&str>], sql: &str, text: &str| {
            let (source, values) = table(DbBackend::Postgres, 3, 1, items);
            assert_eq!(
                (source.as_str(), values),
                (format!("unnest({sql}) WITH ORDINALITY AS v(c0, n)").as_str(), vec![Value::from(text)])
            );
        };
        let split = "string_to_array($3, E'\\x1F', E'\\x1E')";
        check(&[Some("a\"b"), None, Some(""), Some("c\0d")], split, "a\"b\u{1f}\u{1e}\u{1f}\u{1f}cd");
        check(&[None], split, "\u{1e}");
        check(&[], split, "");
        check(&[Some("")], "$3::text[]", r#"{""}"#);
        check(&[Some("a"), None, Some("\u{1f}"), Some("\0\"")], "$3::text[]", "{\"a\",NULL,\"\u{1f}\",\"\\\"\"}");
        check(&[Some("\u{1e}")], "$3::text[]", "{\"\u{1e}\"}");
    }

    #[test]
    fn a_list_keeps_quotes_commas_braces_and_absent_values_apart() {
        let items = [Some("a\"b\\c"), None, Some("{x,y}"), Some("NULL"), Some("")];
        check(DbBackend::Postgres, &items, r#"{"a\"b\\c",NULL,"{x,y}","NULL",""}"#);
        check(DbBackend::Postgres, &[Some("a\0é\"")], r#"{"aé\""}"#);
        check(DbBackend::Sqlite, &items, r#"["a\"b\\c",null,"{x,y}","NULL",""]"#);
    }
}
