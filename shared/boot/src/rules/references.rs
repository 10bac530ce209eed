//! Rules on ties between streams of one connection.
//!
//! A cycle (contact and company) is allowed: a create then goes without the tie and owes it.

use crate::errors::{Findings, listed, nearest};
use crate::raw::RawConnection;

pub(super) fn check(connection: &RawConnection, findings: &Findings) {
    let objects = || connection.streams.iter().filter_map(|stream| Some(stream.object.as_ref()?.value.as_str()));
    for field in connection.streams.iter().flat_map(|stream| &stream.fields) {
        let Some(object) = field.references.as_ref().filter(|object| objects().all(|known| known != object.value)) else {
            continue;
        };
        let remedy = match nearest(&object.value, objects()) {
            Some(close) => format!("Did you mean \"{close}\"?"),
            None => format!("Add a stream for it, or reference one of {}.", listed(objects())),
        };
        let problem = format!(
            "references names \"{}\", which has no stream in this connection: there would be no links to follow.",
            object.value
        );
        findings.add(&object.at, problem, remedy);
    }
}

#[cfg(test)]
mod tests {
    use crate::sample::{load, refused, with_stream};

    fn fields(reference: &str) -> String {
        format!(
            "[connections.hubspot.streams.fields]\nemail = 'email'\ncompany = {{ column = 'company_id', references = '{reference}' }}\n"
        )
    }

    #[test]
    fn a_reference_names_an_object_that_has_links() {
        insta::assert_snapshot!(refused(&fields("contract")), @r#"
        The configuration has 1 error.

        tidemark.toml:14:49: connections.hubspot.streams[contacts].fields.company.references
            references names "contract", which has no stream in this connection: there would be no links to follow.
            Did you mean "contacts"?
        "#);
        insta::assert_snapshot!(refused(&fields("companies")), @r#"
        The configuration has 1 error.

        tidemark.toml:14:49: connections.hubspot.streams[contacts].fields.company.references
            references names "companies", which has no stream in this connection: there would be no links to follow.
            Add a stream for it, or reference one of `contacts`.
        "#);
    }

    #[test]
    fn references_may_go_in_a_cycle() {
        let companies = "[[connections.hubspot.streams]]\nobject = 'companies'\ntable = 'companies'\nkey = 'id'\n\
            fields = { owner = { column = 'owner_id', references = 'contacts' } }";
        assert!(load(&with_stream(&format!("{}{companies}", fields("companies"))), &[]).is_ok());
    }
}
