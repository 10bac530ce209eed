//! The mapping of a stream in a table, and the plan a person reads before saying go.

use maud::{Markup, html};
use tidemark_core::hook::{Existing, HookSpec};
use tidemark_core::spec::{
    Blanks, Condition, DeletePolicy, Direction, Fallback, FieldSpec, Inbound, InboundDelete, Mark, Owner, StreamSpec, Test,
};
use tidemark_core::transform::Transform;

use super::words::{number, span};

pub(crate) fn arrow(direction: Direction) -> (&'static str, &'static str) {
    match direction {
        Direction::In => ("→", "records become rows"),
        Direction::Out => ("←", "rows become records"),
        Direction::Both => ("↔", "both ways"),
    }
}

/// Field by field: what is kept in agreement with what, and whose value stands.
pub(crate) fn mapping(spec: &StreamSpec) -> Markup {
    let (sign, words) = arrow(spec.direction);
    html! {
        div.scroll { table.mapping {
            caption { code { (spec.object) } " " (sign) " " code { (spec.table) } ", " (words) ", key " code { (spec.key) } }
            thead { tr { th scope="col" { "CRM property" } th scope="col" { "Column" } th scope="col" { "Whose value stands" } th scope="col" { "Form" } } }
            tbody {
                @for field in &spec.fields {
                    tr {
                        td { code { (field.property) } @if spec.match_on.contains(&field.property) { " " span.tag { "matches" } } }
                        td { code { (field.column) } }
                        td { (owner(field.owner)) @if field.blanks == Blanks::Clear { ", blanks too" } }
                        td { (form(field)) }
                    }
                }
            }
        } }
    }
}

fn owner(owner: Owner) -> &'static str {
    match owner {
        Owner::Crm => "the CRM's",
        Owner::Orders => "the order database's",
        Owner::Hold => "either; a person decides when both changed",
        Owner::Newest(Fallback::Hold) => "either; the later change when both changed, else a person decides",
        Owner::Newest(Fallback::Crm) => "either; the later change when both changed, else the CRM's",
        Owner::Newest(Fallback::Orders) => "either; the later change when both changed, else the order database's",
    }
}

fn form(field: &FieldSpec) -> Markup {
    html! {
        @if let Some(object) = &field.references { "key of the row linked to " code { (object) } }
        @else {
            @match &field.transform {
                Transform::Text => "as it is",
                Transform::Integer => "whole number",
                Transform::DecimalOfCents => "cents ↔ decimal",
                Transform::Bool => "true or false",
                Transform::Date => "day",
                Transform::Map(pairs) => { @for (at, (row, record)) in pairs.iter().enumerate() { @if at > 0 { ", " } code { (row) } " ↔ " code { (record) } } }
            }
        }
        @if field.check.is_some() { ", must be an e-mail address" }
    }
}

/// What saying go sets in motion.
pub(crate) fn plan(spec: &StreamSpec, vendor: &str, rows: Option<i64>) -> Markup {
    if let Some(hook) = &spec.hook {
        return told(spec, hook, vendor, rows);
    }
    html! {
        ol.plan {
            li { "Reads every " code { (spec.object) } " of " (vendor) " once, then what was modified, every " (span_of(spec.poll.every)) "." }
            @if spec.direction.writes_rows() {
                li {
                    @if spec.inbound == Inbound::UpdateOnly { "Updates rows of " } @else { "Writes rows of " }
                    code { (spec.table) }
                    @if spec.inbound == Inbound::UpdateOnly { " that exist; makes no new ones." }
                    @else if spec.match_on.is_empty() { ": every record without a link becomes a new row." }
                    @else { ": a record that no row matches becomes a new row." }
                }
            } @else { li { "Writes no rows." } }
            @if spec.direction.writes_records() {
                li {
                    "Creates and updates " code { (spec.object) } " in " (vendor) " for rows of " code { (spec.table) }
                    @if spec.send_when.is_empty() { ", all of them." }
                    @else { " where " @for (at, condition) in spec.send_when.iter().enumerate() { @if at > 0 { " and " } (test(condition)) } "." }
                }
            } @else { li { "Writes nothing to " (vendor) "." } }
            @if !spec.match_on.is_empty() { li { "Takes a record and a row for the same thing when they agree on " code { (spec.match_on.join(", ")) } "." } }
            @if spec.deletes.outbound == DeletePolicy::Archive { li { "Archives a record when its row is deleted." } }
            @match &spec.deletes.inbound {
                InboundDelete::Delete => li { "Deletes a row when its record was deleted." },
                InboundDelete::Set { column, value } => li {
                    "Marks a row when its record was deleted: " code { (column) } " becomes "
                    @match value { Mark::Now => "the time.", Mark::Text(text) => { code { (text) } "." } }
                },
                InboundDelete::Ignore if spec.deletes.outbound == DeletePolicy::Archive => li { "Deletes no row." },
                InboundDelete::Ignore => li { "Deletes nothing, on either side." },
            }
            @if let Some(every) = spec.sweep.every { li { "Reads every record and compares every row again each " (span_of(every)) "." } }
            @if let Some(column) = &spec.remote_id { li { "Writes the CRM's id into the column " code { (column) } "." } }
            @if let Some(rows) = rows { li { code { (spec.table) } " holds about " strong { (number(rows)) } " rows." } }
        }
    }
}

/// The same of a stream that only tells.
fn told(spec: &StreamSpec, hook: &HookSpec, vendor: &str, rows: Option<i64>) -> Markup {
    html! {
        ol.plan {
            li { "Reads nothing from " (vendor) " and writes no rows." }
            li {
                @match hook.existing {
                    Existing::Taken => "Takes the rows that are there down as told: only what changes from then on is sent.",
                    Existing::Send => "Tells of every row that is there, as far as the brake on creates lets them through.",
                }
            }
            li {
                "Tells " (vendor) " of each row of " code { (spec.table) } " that is made or changed, in a call of its own"
                @if spec.send_when.is_empty() { "." }
                @else { ", where " @for (at, condition) in spec.send_when.iter().enumerate() { @if at > 0 { " and " } (test(condition)) } "." }
            }
            @if spec.deletes.outbound == DeletePolicy::Tell { li { "Tells of a row that was deleted, too." } }
            @else { li { "Says nothing when a row is deleted." } }
            @if let Some(every) = spec.sweep.every { li { "Compares every row with what was told each " (span_of(every)) "." } }
            @if let Some(rows) = rows { li { code { (spec.table) } " holds about " strong { (number(rows)) } " rows." } }
        }
    }
}

fn span_of(time: std::time::Duration) -> String {
    span(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

fn test(condition: &Condition) -> Markup {
    html! {
        code { (condition.column) }
        @match &condition.test {
            Test::Present => " is present",
            Test::Absent => " is absent",
            Test::OneOf(texts) => { " is one of " code { (texts.join(", ")) } }
        }
    }
}
