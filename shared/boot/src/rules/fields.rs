//! Rules on the fields of one stream: owners against the direction, columns against each other, forms against maps.

use tidemark_core::spec::{Direction, Owner};

use crate::errors::{Findings, listed, nearest};
use crate::raw::{RawField, RawStream};

pub(super) fn check(stream: &RawStream, findings: &Findings) {
    if stream.fields.is_empty() {
        findings.add(&stream.at, "The stream maps no field.", "Add lines property = \"column\" under fields.");
    }
    for field in &stream.fields {
        owner(field, stream, findings);
        key_column(field, stream, findings);
        external_key(field, stream, findings);
        form(field, findings);
        reference_has_no_form(field, findings);
    }
    one_writer_per_column(stream, findings);
    match_on(stream, findings);
}

fn owner(field: &RawField, stream: &RawStream, findings: &Findings) {
    let (Some(owner), Some(direction)) = (&field.owner, stream.direction()) else { return };
    let origin = &direction.at.origin;
    match (owner.value, direction.value) {
        (Owner::Orders, Direction::In) => {
            let problem = format!("owner = \"orders\" contradicts direction = \"in\" ({origin}): the row's value is never sent.");
            findings.add(&owner.at, problem, "Write owner = \"crm\" or \"hold\", or direction = \"both\".");
        }
        (Owner::Crm, Direction::Out) => {
            let problem = format!(
                "owner = \"crm\" contradicts direction = \"out\" ({origin}): the record's value is never written to the row."
            );
            findings.add(&owner.at, problem, "Write owner = \"orders\" or \"hold\", or direction = \"both\".");
        }
        (Owner::Orders | Owner::Hold, Direction::Out | Direction::Both)
        | (Owner::Crm | Owner::Hold, Direction::In | Direction::Both)
        | (Owner::Newest(_), _) => {}
    }
}

fn key_column(field: &RawField, stream: &RawStream, findings: &Findings) {
    let (Some(column), Some(key)) = (&field.column, &stream.key) else { return };
    if column.value == key.value {
        let problem =
            format!("`{}` is the key column ({}) and cannot be a field: a key never changes.", column.value, key.at.origin);
        findings.add(&column.at, problem, "To let the CRM hold our key, write external_key = \"property\".");
    }
}

fn external_key(field: &RawField, stream: &RawStream, findings: &Findings) {
    let Some(key) = stream.external_key.as_ref().filter(|key| key.value == field.property.value) else { return };
    let problem =
        format!("The property `{}` holds our row key (external_key, {}) and cannot be a field too.", key.value, key.at.origin);
    findings.add(&field.property.at, problem, "Take one of the two out.");
}

fn form(field: &RawField, findings: &Findings) {
    if let (Some(form), Some(map)) = (&field.form, &field.map) {
        let problem = format!("`as` and `map` ({}) both say how the value is carried over.", map.at.origin);
        findings.add(&form.at, problem, "Keep `map` for a list of words, `as` for a form.");
    }
}

fn reference_has_no_form(field: &RawField, findings: &Findings) {
    if field.references.is_none() {
        return;
    }
    let form = field.form.as_ref().map(|form| ("as", &form.at));
    let map = field.map.as_ref().map(|map| ("map", &map.at));
    let check = field.check.as_ref().map(|check| ("check", &check.at));
    for (name, at) in [form, map, check].into_iter().flatten() {
        let problem = format!("`{name}` is about a value, and `references` makes this field a tie between two records.");
        findings.add(at, problem, format!("Take `{name}` or `references` out."));
    }
}

/// Two properties that both may write a column would overwrite each other for ever. Sending one column to several properties is fine.
fn one_writer_per_column(stream: &RawStream, findings: &Findings) {
    if !stream.direction().is_some_and(|direction| direction.value.writes_rows()) {
        return;
    }
    let writes = |field: &&RawField| field.owner.as_ref().is_some_and(|owner| owner.value != Owner::Orders);
    let writers: Vec<&RawField> = stream.fields.iter().filter(writes).collect();
    for (index, field) in writers.iter().enumerate() {
        let Some(column) = &field.column else { continue };
        let first = writers[..index].iter().find(|earlier| earlier.column.as_ref().is_some_and(|one| one.value == column.value));
        if let Some(first) = first {
            let problem = format!(
                "The column `{}` would be written by two properties, `{}` ({}) and `{}`.",
                column.value, first.property.value, first.property.at.origin, field.property.value
            );
            findings.add(
                &column.at,
                problem,
                "Map one of them to another column, or give one owner = \"orders\" in a stream that sends.",
            );
        }
    }
}

fn match_on(stream: &RawStream, findings: &Findings) {
    let properties = || stream.fields.iter().map(|field| field.property.value.as_str());
    for (index, name) in stream.match_on.iter().enumerate() {
        let field = stream.fields.iter().find(|field| field.property.value == name.value);
        match field {
            None => {
                let column_of =
                    stream.fields.iter().find(|field| field.column.as_ref().is_some_and(|column| column.value == name.value));
                let remedy = match (column_of, nearest(&name.value, properties())) {
                    (Some(field), _) => format!("That is a column; write its property, \"{}\".", field.property.value),
                    (None, Some(close)) => format!("Did you mean \"{close}\"?"),
                    (None, None) => format!("Name mapped properties: {}.", listed(properties())),
                };
                findings.add(&name.at, format!("match_on names \"{}\", which is no property of fields.", name.value), remedy);
            }
            Some(field) if field.references.is_some() => {
                let problem = format!("match_on names \"{}\", a reference: a CRM cannot be searched by it.", name.value);
                findings.add(&name.at, problem, "Name a property that holds a value.");
            }
            Some(_) if stream.match_on[..index].iter().any(|earlier| earlier.value == name.value) => {
                findings.add(&name.at, format!("match_on names \"{}\" twice.", name.value), "Take one out.");
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sample::{load, refused, with_stream};

    fn with_fields(stream: &str, fields: &str) -> String {
        format!("{stream}\n[connections.hubspot.streams.fields]\n{fields}")
    }

    #[test]
    fn a_stream_that_only_reads_has_no_field_that_orders_own() {
        insta::assert_snapshot!(refused(&with_fields("", "email = { column = 'email', owner = 'orders' }")), @r#"
        The configuration has 1 error.

        tidemark.toml:14:37: connections.hubspot.streams[contacts].fields.email.owner
            owner = "orders" contradicts direction = "in" (config.default.toml:LINE): the row's value is never sent.
            Write owner = "crm" or "hold", or direction = "both".
        "#);
        insta::assert_snapshot!(refused("owner = 'orders'"), @r#"
        The configuration has 1 error.

        tidemark.toml:12:9: connections.hubspot.streams[contacts].owner
            owner = "orders" contradicts direction = "in" (config.default.toml:LINE): the row's value is never sent.
            Write owner = "crm" or "hold", or direction = "both".
        "#);
    }

    #[test]
    fn a_stream_that_only_sends_has_no_field_that_the_crm_owns() {
        insta::assert_snapshot!(refused("direction = 'out'\nowner = 'crm'"), @r#"
        The configuration has 1 error.

        tidemark.toml:13:9: connections.hubspot.streams[contacts].owner
            owner = "crm" contradicts direction = "out" (tidemark.toml:12:13): the record's value is never written to the row.
            Write owner = "orders" or "hold", or direction = "both".
        "#);
    }

    #[test]
    fn the_key_column_is_no_field() {
        insta::assert_snapshot!(refused(&with_fields("", "shop_id = 'id'")), @r#"
        The configuration has 1 error.

        tidemark.toml:14:11: connections.hubspot.streams[contacts].fields.shop_id
            `id` is the key column (tidemark.toml:11:7) and cannot be a field: a key never changes.
            To let the CRM hold our key, write external_key = "property".
        "#);
    }

    #[test]
    fn the_property_of_our_key_is_no_field() {
        insta::assert_snapshot!(refused(&with_fields("direction = 'out'\nexternal_key = 'shop_id'", "shop_id = 'number'")), @"
        The configuration has 1 error.

        tidemark.toml:15:1: connections.hubspot.streams[contacts].fields.shop_id
            The property `shop_id` holds our row key (external_key, tidemark.toml:13:16) and cannot be a field too.
            Take one of the two out.
        ");
    }

    #[test]
    fn a_field_has_a_form_or_a_map() {
        let field = "status = { column = 'status', as = 'integer', map = { open = 'new' } }";
        insta::assert_snapshot!(refused(&with_fields("", field)), @"
        The configuration has 1 error.

        tidemark.toml:14:36: connections.hubspot.streams[contacts].fields.status.as
            `as` and `map` (tidemark.toml:14:53) both say how the value is carried over.
            Keep `map` for a list of words, `as` for a form.
        ");
    }

    #[test]
    fn a_row_text_is_mapped_once() {
        insta::assert_snapshot!(refused(&with_fields(
            "",
            "status = { column = 'status', map = { open = 'new', open = 'old' } }"
        )), @"
        The configuration has 1 error.

        tidemark.toml:14:53
            The key `open` is written twice in this table.
            Keep one; nothing else was checked.
        ");
    }

    #[test]
    fn a_blank_is_not_mapped_and_a_map_is_not_empty() {
        insta::assert_snapshot!(refused(&with_fields("", "status = { column = 'status', map = { '' = 'new' } }")), @r#"
        The configuration has 2 errors.

        tidemark.toml:14:37: connections.hubspot.streams[contacts].fields.status.map
            The map has no pair.
            Write map = { row_text = "record text" }, or take it out.

        tidemark.toml:14:39: connections.hubspot.streams[contacts].fields.status.map.""
            A blank is never mapped: it stays a blank.
            Take the pair out; see `blanks`.
        "#);
    }

    #[test]
    fn a_reference_has_no_form_map_or_check() {
        let field = "parent = { column = 'parent_id', references = 'contacts', as = 'integer', check = 'email' }";
        insta::assert_snapshot!(refused(&with_fields("", field)), @"
        The configuration has 2 errors.

        tidemark.toml:14:64: connections.hubspot.streams[contacts].fields.parent.as
            `as` is about a value, and `references` makes this field a tie between two records.
            Take `as` or `references` out.

        tidemark.toml:14:83: connections.hubspot.streams[contacts].fields.parent.check
            `check` is about a value, and `references` makes this field a tie between two records.
            Take `check` or `references` out.
        ");
    }

    #[test]
    fn a_column_is_written_by_one_property() {
        insta::assert_snapshot!(refused(&with_fields("", "mobilephone = 'phone'\nphone = 'phone'")), @r#"
        The configuration has 1 error.

        tidemark.toml:15:9: connections.hubspot.streams[contacts].fields.phone
            The column `phone` would be written by two properties, `mobilephone` (tidemark.toml:14:1) and `phone`.
            Map one of them to another column, or give one owner = "orders" in a stream that sends.
        "#);
    }

    #[test]
    fn a_column_may_be_sent_to_several_properties() {
        assert!(load(&with_stream(&with_fields("direction = 'out'", "mobilephone = 'phone'\nphone = 'phone'")), &[]).is_ok());
        let one_owned = "mobilephone = { column = 'phone', owner = 'orders' }\nphone = 'phone'";
        assert!(load(&with_stream(&with_fields("direction = 'both'", one_owned)), &[]).is_ok());
    }

    #[test]
    fn things_are_matched_on_mapped_properties_that_hold_values() {
        let fields =
            "email = 'mail_address'\nfirstname = 'first_name'\nparent = { column = 'parent_id', references = 'contacts' }";
        let names = "match_on = ['emial', 'mail_address', 'parent', 'email', 'email', 'vat']";
        insta::assert_snapshot!(refused(&with_fields(names, fields)), @r#"
        The configuration has 5 errors.

        tidemark.toml:12:13: connections.hubspot.streams[contacts].match_on[0]
            match_on names "emial", which is no property of fields.
            Did you mean "email"?

        tidemark.toml:12:22: connections.hubspot.streams[contacts].match_on[1]
            match_on names "mail_address", which is no property of fields.
            That is a column; write its property, "email".

        tidemark.toml:12:38: connections.hubspot.streams[contacts].match_on[2]
            match_on names "parent", a reference: a CRM cannot be searched by it.
            Name a property that holds a value.

        tidemark.toml:12:57: connections.hubspot.streams[contacts].match_on[4]
            match_on names "email" twice.
            Take one out.

        tidemark.toml:12:66: connections.hubspot.streams[contacts].match_on[5]
            match_on names "vat", which is no property of fields.
            Name mapped properties: `email`, `firstname`, `parent`.
        "#);
    }

    #[test]
    fn a_stream_maps_something_and_every_name_is_there() {
        insta::assert_snapshot!(refused(&with_fields("", "")), @r#"
        The configuration has 1 error.

        tidemark.toml:8:1: connections.hubspot.streams[contacts]
            The stream maps no field.
            Add lines property = "column" under fields.
        "#);
        insta::assert_snapshot!(refused(&with_fields("remote_id = ''", "email = ''\nphone = { owner = 'crm' }\nage = 3")), @r#"
        The configuration has 4 errors.

        tidemark.toml:12:13: connections.hubspot.streams[contacts].remote_id
            The text is empty.
            Write something between the quotes.

        tidemark.toml:14:9: connections.hubspot.streams[contacts].fields.email
            The text is empty.
            Write something between the quotes.

        tidemark.toml:15:9: connections.hubspot.streams[contacts].fields.phone.column
            `column` is missing.
            Name the column of the table.

        tidemark.toml:16:7: connections.hubspot.streams[contacts].fields.age
            A field is a column's name in quotes or a table; this is a whole number.
            Write property = "column" or property = { column = "column", … }.
        "#);
    }
}
