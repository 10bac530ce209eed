//! Rules on `owner = "newest"`: it needs the row's own time, a fallback for what that cannot tell, and both directions.

use tidemark_core::spec::{Direction, Owner};

use crate::errors::Findings;
use crate::raw::{RawConnection, RawField, RawStream};

pub(super) fn check(stream: &RawStream, findings: &Findings) {
    let mut newest = stream.fields.iter().filter(|field| is_newest(field)).peekable();
    if newest.peek().is_none() {
        if let Some(told) = &stream.row_modified {
            let problem =
                "row_modified is read where owner = \"newest\" compares times, and no field of this stream has that owner.";
            findings.add(&told.at, problem, "Take row_modified out, or give a field owner = \"newest\" and a fallback.");
        }
        if let Some(fallback) = &stream.fallback {
            let problem = "fallback stands in for owner = \"newest\", and no field of this stream has that owner.";
            findings.add(&fallback.at, problem, "Take fallback out, or write owner = \"newest\".");
        }
    }
    for field in newest {
        needs(field, stream, findings);
    }
    for field in stream.fields.iter().filter(|field| !is_newest(field)) {
        if let (Some(fallback), Some(owner)) = (&field.fallback, &field.owner) {
            let problem = format!(
                "fallback stands in for owner = \"newest\", and the owner of `{}` is \"{}\" ({}).",
                field.property.value,
                owner.value.words(),
                owner.at.origin
            );
            findings.add(&fallback.at, problem, "Take fallback out, or write owner = \"newest\".");
        }
    }
    time_column_is_its_own(stream, findings);
}

fn is_newest(field: &RawField) -> bool {
    field.owner.as_ref().is_some_and(|owner| matches!(owner.value, Owner::Newest(_)))
}

/// What such a field cannot do without.
fn needs(field: &RawField, stream: &RawStream, findings: &Findings) {
    let Some(owner) = &field.owner else { return };
    if stream.row_modified.is_none() {
        let problem =
            "owner = \"newest\" compares when each side was changed, and the stream names no column that tells it of a row.";
        findings.add(
            &owner.at,
            problem,
            "Write row_modified = \"updated_at\" in the stream, naming the column in which the order system keeps it; without one write owner = \"hold\".",
        );
    }
    if field.fallback.is_none() && stream.fallback.is_none() {
        let problem = "owner = \"newest\" needs a fallback for changes that lie too close together to tell which was later.";
        findings.add(&owner.at, problem, "Write fallback = \"hold\" (a person decides), \"crm\" or \"orders\" beside it.");
    }
    if let Some(direction) = stream.direction().filter(|direction| direction.value != Direction::Both) {
        let problem =
            format!("owner = \"newest\" lets either side win, and direction is not \"both\" ({}).", direction.at.origin);
        findings.add(&owner.at, problem, "Write direction = \"both\", or another owner.");
    }
    if field.references.is_some() {
        let problem = "owner = \"newest\" needs a time of change, and a reference that changes moves no stamp in the CRM.";
        findings.add(&owner.at, problem, "Write owner = \"orders\", \"crm\" or \"hold\" for it.");
    }
}

/// A column that a page fills says when the CRM was changed, or something else altogether. That `touch` bumps it is fine: an edit keeps the time it was first seen with.
fn time_column_is_its_own(stream: &RawStream, findings: &Findings) {
    let Some(told) = &stream.row_modified else { return };
    let column = &told.value.column;
    let holds = |name: &Option<crate::node::Located<String>>| name.as_ref().is_some_and(|name| name.value == *column);
    let taken = if holds(&stream.key) {
        "is the key"
    } else if holds(&stream.remote_id) {
        "receives the CRM's id"
    } else if stream.fields.iter().any(|field| holds(&field.column)) {
        "holds a property"
    } else {
        return;
    };
    let problem = format!("row_modified names `{column}`, which {taken}.");
    findings.add(&told.at, problem, "Name the column in which the order system keeps when it changed the row.");
}

/// What one CRM changes in a row is news for another, and its time is the row's: our own page has to move it.
pub(super) fn check_between(connections: &[RawConnection], findings: &Findings) {
    let streams: Vec<&RawStream> = connections.iter().flat_map(|connection| &connection.streams).collect();
    for (at, stream) in streams.iter().enumerate() {
        let Some(told) = &stream.row_modified else { continue };
        for field in stream.fields.iter().filter(|field| is_newest(field)) {
            let (Some(column), Some(owner)) = (&field.column, &field.owner) else { continue };
            let others = streams.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| *other);
            let untold = |other: &&RawStream| {
                let same = other.table.as_ref().map(|table| &table.value) == stream.table.as_ref().map(|table| &table.value);
                let bumps = other.updated_at.as_ref().is_some_and(|touched| touched.value == told.value.column);
                let writes = other.direction().is_some_and(|direction| direction.value.writes_rows())
                    && other.fields.iter().any(|field| {
                        field.column.as_ref().is_some_and(|one| one.value == column.value)
                            && field.owner.as_ref().is_some_and(|owner| owner.value != Owner::Orders)
                    });
                same && writes && !bumps
            };
            if let Some(other) = others.into_iter().find(untold) {
                let problem = format!(
                    "owner = \"newest\" goes by `{}`, and another stream ({}) writes `{}` without moving it.",
                    told.value.column, other.at.origin, column.value
                );
                let remedy =
                    format!("Write touch = {{ updated_at = \"{}\" }} in that stream, or another owner here.", told.value.column);
                findings.add(&owner.at, problem, remedy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tidemark_core::spec::{Fallback, Owner, RowModified};

    use crate::sample::{load, refused, with_stream};

    const BOTH: &str = "direction = 'both'\n";

    fn check(body: &str, words: &[&str]) {
        let said = refused(body);
        assert!(said.starts_with("The configuration has 1 error."), "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is missing in:\n{said}");
        }
    }

    #[test]
    fn h11_the_newest_value_cannot_win_without_the_rows_time_and_a_fallback() {
        let field = |owner: &str| format!("{BOTH}fields = {{ phone = {{ column = 'phone', {owner} }} }}");
        check(
            &field("owner = 'newest', fallback = 'hold'"),
            &["tidemark.toml:13:", "fields.phone.owner", "names no column", "row_modified = \"updated_at\""],
        );
        let told = |owner: &str| format!("row_modified = 'updated_at'\n{}", field(owner));
        check(&told("owner = 'newest'"), &["tidemark.toml:14:", "fields.phone.owner", "needs a fallback", "fallback = \"hold\""]);
        check(&told("owner = 'newest', fallback = 'newest'"), &["fields.phone.fallback"]);
        check(&told("owner = 'newest', fallback = 'crm', references = 'contacts'"), &["a reference", "owner = \"orders\""]);
        check(
            &told("owner = 'newest', fallback = 'crm'").replace("direction = 'both'", "direction = 'in'"),
            &["direction is not \"both\"", "direction = \"both\""],
        );
    }

    #[test]
    fn h11_what_is_said_for_newest_alone_is_refused_without_it() {
        check(&format!("{BOTH}row_modified = 'updated_at'"), &["row_modified", "no field of this stream has that owner"]);
        check(&format!("{BOTH}fallback = 'hold'"), &["fallback", "no field of this stream has that owner"]);
        check(
            &format!("{BOTH}fields = {{ phone = {{ column = 'phone', owner = 'crm', fallback = 'hold' }} }}"),
            &["the owner of `phone` is \"crm\""],
        );
    }

    #[test]
    fn h11_the_column_of_the_rows_time_has_no_other_use() {
        let body = |column: &str| {
            format!("{BOTH}row_modified = '{column}'\nfallback = 'hold'\nowner = 'newest'\nfields = {{ phone = 'phone' }}")
        };
        check(&body("phone"), &["row_modified names `phone`, which holds a property"]);
        check(&body("id"), &["row_modified names `id`, which is the key"]);
        assert!(load(&with_stream(&format!("touch = {{ updated_at = 'updated_at' }}\n{}", body("updated_at"))), &[]).is_ok());
    }

    #[test]
    fn h11_a_stream_may_let_all_its_fields_go_by_time_in_a_zone_of_its_own() {
        let body = |zone: &str| {
            format!(
                "{BOTH}row_modified = {{ column = 'changed', zone = '{zone}' }}\nowner = 'newest'\nfallback = 'crm'\n\
                 fields = {{ email = 'email', phone = {{ column = 'phone', fallback = 'orders' }}, city = {{ column = 'city', owner = 'hold' }} }}"
            )
        };
        let config = load(&with_stream(&body("-04:30")), &[]).expect("valid");
        let stream = &config.streams[0];
        assert_eq!(stream.row_modified, Some(RowModified { column: "changed".into(), east_secs: -16_200 }));
        let owners: Vec<Owner> = stream.fields.iter().map(|field| field.owner).collect();
        assert_eq!(owners, [Owner::Hold, Owner::Newest(Fallback::Crm), Owner::Newest(Fallback::Orders)]);
        assert!(load(&with_stream(&body("UTC")), &[]).is_ok() && load(&with_stream(&body("+01:00")), &[]).is_ok());
        for zone in ["Europe/Berlin", "+1", "+15:00", "01:00", "+01:60"] {
            check(&body(zone), &["row_modified.zone", "no zone with a fixed distance", "such as \"+01:00\""]);
        }
    }

    #[test]
    fn h11_another_stream_that_writes_the_column_moves_the_rows_time() {
        let second = |touch: &str| {
            format!(
                "{}[connections.brevo]\nconnector = 'brevo'\nenvironment = 'sandbox'\n[[connections.brevo.streams]]\nobject = 'contacts'\ntable = 'customers'\nkey = 'id'\n\
                 direction = 'both'\n{touch}\nfields = {{ PHONE = {{ column = 'phone', owner = 'hold' }} }}\n",
                with_stream(&format!(
                    "{BOTH}row_modified = 'updated_at'\nowner = 'newest'\nfallback = 'hold'\nfields = {{ phone = 'phone' }}"
                ))
            )
        };
        let said = load(&second(""), &[]).expect_err("it moves no time").to_string();
        assert!(
            said.contains("writes `phone` without moving it") && said.contains("touch = { updated_at = \"updated_at\" }"),
            "{said}"
        );
        assert!(load(&second("touch = { updated_at = 'updated_at' }"), &[]).is_ok());
    }
}
