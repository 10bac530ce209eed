//! Rules on tables that several streams share: a column has one CRM that owns it and one that leaves its ids there.

use tidemark_core::spec::{Owner, TableName};

use crate::errors::{Findings, Place};
use crate::raw::{RawConnection, RawStream};

/// A column of a table and where a stream laid claim to it.
type Claim<'a> = (&'a TableName, &'a str, &'a Place);

pub(super) fn check(connections: &[RawConnection], findings: &Findings) {
    let streams = || connections.iter().flat_map(|connection| &connection.streams);
    each_once(streams().map(owned_columns), findings, |column, first| {
        let problem = format!("The CRM of another stream owns `{column}` already ({}): each would undo the other.", first.origin);
        (problem, "Let one of them own it; give the other owner = \"orders\" or \"hold\".")
    });
    each_once(streams().map(id_columns), findings, |column, first| {
        let problem = format!("Another stream leaves its CRM's ids in `{column}` already ({}).", first.origin);
        (problem, "Give each stream a column of its own.")
    });
}

/// Claims within one stream are compared by `fields`.
fn each_once<'a>(
    streams: impl Iterator<Item = Vec<Claim<'a>>>,
    findings: &Findings,
    words: impl Fn(&str, &Place) -> (String, &'static str),
) {
    let mut seen: Vec<Claim<'a>> = Vec::new();
    for claims in streams {
        for (table, column, at) in &claims {
            if let Some((_, _, first)) = seen.iter().find(|earlier| (earlier.0, earlier.1) == (*table, *column)) {
                let (problem, remedy) = words(&format!("{table}.{column}"), first);
                findings.add(at, problem, remedy);
            }
        }
        seen.extend(claims);
    }
}

fn owned_columns(stream: &RawStream) -> Vec<Claim<'_>> {
    let (Some(table), true) = (&stream.table, stream.direction().is_some_and(|direction| direction.value.writes_rows())) else {
        return Vec::new();
    };
    let owned = stream.fields.iter().filter(|field| field.owner.as_ref().is_some_and(|owner| owner.value == Owner::Crm));
    owned.filter_map(|field| field.column.as_ref()).map(|column| (&table.value, column.value.as_str(), &column.at)).collect()
}

fn id_columns(stream: &RawStream) -> Vec<Claim<'_>> {
    let (Some(table), Some(column)) = (&stream.table, &stream.remote_id) else { return Vec::new() };
    vec![(&table.value, column.value.as_str(), &column.at)]
}

#[cfg(test)]
mod tests {
    use crate::sample::{load, minimal, with_stream};

    const SECOND: &str = "[connections.brevo]\nconnector = 'brevo'\nenvironment = 'sandbox'\n\
        [[connections.brevo.streams]]\nobject = 'contacts'\ntable = 'customers'\nkey = 'id'\n";

    #[test]
    fn a_column_is_owned_by_one_crm() {
        let text = format!("{}{SECOND}fields = {{ EMAIL = 'email' }}\n", minimal());
        insta::assert_snapshot!(load(&text, &[]).unwrap_err(), @r#"
        The configuration has 1 error.

        tidemark.toml:21:20: connections.brevo.streams[contacts].fields.EMAIL
            The CRM of another stream owns `customers.email` already (tidemark.toml:13:9): each would undo the other.
            Let one of them own it; give the other owner = "orders" or "hold".
        "#);
        assert!(load(&text.replace("'email' }", "{ column = 'email', owner = 'hold' } }"), &[]).is_ok());
    }

    #[test]
    fn each_crm_leaves_its_ids_in_a_column_of_its_own() {
        let text =
            format!("{}{SECOND}remote_id = 'crm_id'\nfields = {{ PHONE = 'phone' }}\n", with_stream("remote_id = 'crm_id'"));
        insta::assert_snapshot!(load(&text, &[]).unwrap_err(), @"
        The configuration has 1 error.

        tidemark.toml:22:13: connections.brevo.streams[contacts].remote_id
            Another stream leaves its CRM's ids in `customers.crm_id` already (tidemark.toml:12:13).
            Give each stream a column of its own.
        ");
    }
}
