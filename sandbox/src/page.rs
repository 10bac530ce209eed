//! The page a human sees: counters, weather, records to edit, and the last calls.

use maud::{DOCTYPE, Markup, html};

use crate::{CallEntry, Crm, ObjectType, Snapshot};

const ROWS_MAX: usize = 50;
const CALLS_MAX: usize = 100;

const STYLE: &str = "body{font:14px/1.4 system-ui,sans-serif;margin:2rem;color:#222}\
    table{border-collapse:collapse}td,th{padding:.2rem .6rem;border-bottom:1px solid #ddd;text-align:left}\
    input{width:9rem}nav a{margin-right:1rem}.gone{color:#999;text-decoration:line-through}pre{background:#f5f5f5;padding:1rem}";

pub(crate) fn render(crm: &Crm, object: ObjectType) -> String {
    let (counters, weather) = (crm.counters(), crm.weather());
    let mut records = crm.list(object);
    records.sort_by(|one, two| two.modified_at.cmp(&one.modified_at).then_with(|| two.id.cmp(&one.id)));
    let calls = crm.calls();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "Practice CRM" }
                style { (STYLE) }
            }
            body {
                h1 { "Practice CRM" }
                p {
                    (counters.calls) " calls, " (counters.search_calls) " of them searches; "
                    (counters.writes) " records written; " (counters.limit_exceeded) " times over the limit; "
                    (counters.faults) " faults; " (counters.landings_pending) " writes still on their way."
                }
                h2 { "Weather" }
                form method="post" action="/sandbox/weather" {
                    button name="preset" value="calm" { "Calm" } " "
                    button name="preset" value="rough" { "Rough" }
                }
                details {
                    summary { "In numbers" }
                    pre { (serde_json::to_string_pretty(&weather).unwrap_or_default()) }
                }
                h2 { "Records" }
                nav {
                    @for kind in ObjectType::ALL {
                        a href={ "/sandbox/?object=" (kind.plural()) } { (kind.plural()) }
                    }
                }
                p { "The " (ROWS_MAX.min(records.len())) " last changed of " (records.len()) " " (object.plural()) "." }
                (editor(object, &records))
                h2 { "Last calls" }
                (journal(&calls))
            }
        }
    };
    page.into_string()
}

/// One form per row; the first row makes a new record.
fn editor(object: ObjectType, records: &[Snapshot]) -> Markup {
    let columns = columns(object);
    let action = format!("/sandbox/records/{}", object.plural());
    html! {
        @for at in 0..=records.len().min(ROWS_MAX) {
            form id={ "f" (at) } method="post" action=(action) {}
        }
        table {
            tr { th { "id" } @for name in columns { th { (name) } } th { "modified" } th {} }
            tr {
                td { "new" }
                @for name in columns { td { input form="f0" name={ "p." (name) }; } }
                td {}
                td { button form="f0" { "Create" } }
            }
            @for (at, record) in records.iter().take(ROWS_MAX).enumerate() {
                @let form = format!("f{}", at + 1);
                tr class=[record.archived.then_some("gone")] {
                    td { (record.id) input type="hidden" form=(form) name="id" value=(record.id); }
                    @for name in columns {
                        @let value = record.properties.get(*name).map_or("", String::as_str);
                        td { input form=(form) name={ "p." (name) } value=(value) disabled[record.archived]; }
                    }
                    td { (record.modified_at) }
                    td {
                        @if !record.archived {
                            button form=(form) { "Save" } " "
                            button form=(form) name="archive" value="yes" { "Archive" }
                        }
                    }
                }
            }
        }
    }
}

fn journal(calls: &[CallEntry]) -> Markup {
    html! {
        table {
            tr { th { "at" } th { "call" } th { "status" } th { "fault" } }
            @for call in calls.iter().take(CALLS_MAX) {
                tr {
                    td { (call.at) }
                    td { (call.method) " " (call.path) }
                    td { @if call.status == 0 { "dropped" } @else { (call.status) } }
                    td { (call.fault.unwrap_or_default()) }
                }
            }
        }
    }
}

fn columns(object: ObjectType) -> &'static [&'static str] {
    match object {
        ObjectType::Contacts => &["email", "firstname", "lastname", "phone", "city"],
        ObjectType::Companies => &["name", "domain", "phone", "city"],
        ObjectType::Deals => &["dealname", "amount", "dealstage", "closedate"],
    }
}
