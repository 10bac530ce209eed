//! Rules on the columns by which the application notices our writes.

use crate::errors::Findings;
use crate::node::Located;
use crate::raw::RawStream;

pub(super) fn check(stream: &RawStream, findings: &Findings) {
    let touched = [("version_column", &stream.version_column), ("updated_at", &stream.updated_at)];
    let touched = touched.into_iter().filter_map(|(name, column)| Some((name, column.as_ref()?)));
    for (name, column) in touched.clone() {
        let direction = stream.direction().filter(|direction| !direction.value.writes_rows() && stream.remote_id.is_none());
        if let Some(direction) = direction {
            let problem = format!(
                "touch.{name} is about rows that are written, and this stream writes none (direction, {}).",
                direction.at.origin
            );
            findings.add(&column.at, problem, "Take `touch` out, or write direction = \"both\".");
        }
        if let Some((other, taken)) = in_use(stream, column) {
            let problem = format!("touch.{name} names `{}`, which is {other} ({}).", column.value, taken.at.origin);
            findings.add(
                &column.at,
                problem,
                "Name the column in which the application keeps its own count or time, or leave it out.",
            );
        }
    }
    if let (Some(version), Some(time)) = (&stream.version_column, &stream.updated_at)
        && version.value == time.value
    {
        let problem = format!("touch.updated_at names `{}`, as touch.version_column does ({}).", time.value, version.at.origin);
        findings.add(&time.at, problem, "Name two columns, or leave one out.");
    }
}

/// What else writes or means the column.
fn in_use<'a>(stream: &'a RawStream, column: &Located<String>) -> Option<(&'static str, &'a Located<String>)> {
    let same = |other: &Option<&'a Located<String>>| other.filter(|other| other.value == column.value);
    let field = stream.fields.iter().find_map(|field| same(&field.column.as_ref()));
    let field = field.map(|field| ("the column of a field", field));
    let key = same(&stream.key.as_ref()).map(|key| ("the key", key));
    let id = same(&stream.remote_id.as_ref()).map(|id| ("the column of remote_id", id));
    field.or(key).or(id)
}

#[cfg(test)]
mod tests {
    use crate::sample::{load, refused, with_stream};

    #[test]
    fn touched_columns_are_the_applications_own() {
        insta::assert_snapshot!(refused("touch = { version_column = 'email', updated_at = 'id' }"), @"
        The configuration has 2 errors.

        tidemark.toml:12:28: connections.hubspot.streams[contacts].touch.version_column
            touch.version_column names `email`, which is the column of a field (tidemark.toml:14:9).
            Name the column in which the application keeps its own count or time, or leave it out.

        tidemark.toml:12:50: connections.hubspot.streams[contacts].touch.updated_at
            touch.updated_at names `id`, which is the key (tidemark.toml:11:7).
            Name the column in which the application keeps its own count or time, or leave it out.
        ");
        insta::assert_snapshot!(refused("touch = { version_column = 'v', updated_at = 'v' }"), @"
        The configuration has 1 error.

        tidemark.toml:12:46: connections.hubspot.streams[contacts].touch.updated_at
            touch.updated_at names `v`, as touch.version_column does (tidemark.toml:12:28).
            Name two columns, or leave one out.
        ");
        insta::assert_snapshot!(refused("direction = 'out'\ntouch = { updated_at = 'changed' }"), @r#"
        The configuration has 1 error.

        tidemark.toml:13:24: connections.hubspot.streams[contacts].touch.updated_at
            touch.updated_at is about rows that are written, and this stream writes none (direction, tidemark.toml:12:13).
            Take `touch` out, or write direction = "both".
        "#);
    }

    #[test]
    fn a_stream_that_only_leaves_ids_may_touch_too() {
        assert!(load(&with_stream("direction = 'out'\nremote_id = 'crm_id'\ntouch = { version_column = 'v' }"), &[]).is_ok());
        assert!(load(&with_stream("stale_save_guard = '0s'\nstale_save = 'theirs'"), &[]).is_ok());
    }
}
