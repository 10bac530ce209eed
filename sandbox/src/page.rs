//! The page a human sees: counters, weather, quirks, records to edit, and the last calls.

use maud::{DOCTYPE, Markup, html};
use serde_json::{Value, json};

use crate::{CallEntry, Crm, ObjectType, QuirkView, Setting, Snapshot, Weather};

const ROWS_MAX: usize = 50;
const CALLS_MAX: usize = 100;

const STYLE: &str = "body{font:14px/1.4 system-ui,sans-serif;margin:2rem;color:#222}\
    table{border-collapse:collapse}td,th{padding:.2rem .6rem;border-bottom:1px solid #ddd;text-align:left}\
    input{width:9rem}nav a{margin-right:1rem}.gone{color:#999;text-decoration:line-through}\
    form.inline{display:inline-block;margin-right:1rem}label{display:inline-block;margin:0 1rem .3rem 0}small{color:#666}";

pub(crate) fn render(crm: &Crm, object: ObjectType) -> String {
    let counters = crm.counters();
    let mut records = crm.list(object);
    records.sort_by(|one, two| two.modified_at.cmp(&one.modified_at).then_with(|| two.id.cmp(&one.id)));
    let vendor = crm.vendor();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "Practice CRM: " (crm.dialect()) }
                style { (STYLE) }
            }
            body {
                h1 { "Practice CRM: " (crm.dialect()) }
                p {
                    (counters.calls) " calls, " (counters.search_calls) " of them searches; "
                    (counters.writes) " records written; " (counters.limit_exceeded) " times over the limit; "
                    (counters.faults) " faults; " (counters.landings_pending) " writes still on their way."
                }
                h2 { "Weather" }
                (sky(&crm.weather(), crm.shapes()))
                (quirks(&crm.quirks()))
                h2 { "Records" }
                nav {
                    @for (_, name) in vendor.objects() {
                        a href={ "/sandbox/?object=" (name) } { (name) }
                    }
                }
                p { "The " (ROWS_MAX.min(records.len())) " last changed of " (records.len()) " " (vendor.object_name(object)) "." }
                (editor(vendor.object_name(object), vendor.columns(object), &records))
                h2 { "Last calls" }
                (journal(&crm.calls()))
            }
        }
    };
    page.into_string()
}

/// Presets, single dials, prepared answers, and the token.
fn sky(weather: &Weather, shapes: &[&str]) -> Markup {
    let dials: Vec<(String, Value)> = match json!(weather) {
        Value::Object(dials) => dials.into_iter().collect(),
        _ => Vec::new(),
    };
    html! {
        form class="inline" method="post" action="/sandbox/weather" {
            button name="preset" value="calm" { "Calm" } " "
            button name="preset" value="rough" { "Rough" }
        }
        form class="inline" method="post" action="/sandbox/next" {
            "Next " input name="times" value="1" style="width:3rem"; " calls get "
            select name="shape" { @for shape in shapes { option { (shape) } } } " "
            button { "Prepare" }
        }
        form class="inline" method="post" action="/sandbox/token" {
            input name="token" placeholder="empty: none is accepted"; " "
            button { "Replace the token" }
        }
        form class="inline" method="post" action="/sandbox/token/expire" { button { "Expire access tokens" } }
        details {
            summary { "In numbers" }
            form method="post" action="/sandbox/weather" {
                @for (name, value) in &dials { label { (name) " " input name=(name) value=(value); } }
                button { "Set" }
            }
        }
    }
}

fn quirks(quirks: &[QuirkView]) -> Markup {
    html! {
        details {
            summary { "Quirks of this vendor" }
            form method="post" action="/sandbox/quirks" {
                table {
                    @for quirk in quirks {
                        tr class=[(quirk.value != quirk.normal).then_some("changed")] {
                            td { (quirk.name) }
                            td {
                                @match quirk.value {
                                    Setting::Flag(on) => select name=(quirk.name) {
                                        option value="true" selected[on] { "on" }
                                        option value="false" selected[!on] { "off" }
                                    },
                                    Setting::Number(number) => input name=(quirk.name) value=(number);,
                                }
                            }
                            td { small { (quirk.about) "; normally " (json!(quirk.normal)) } }
                        }
                    }
                }
                button { "Switch" }
            }
        }
    }
}

/// One form per row; the first row makes a new record.
fn editor(object: &str, columns: &[&str], records: &[Snapshot]) -> Markup {
    let action = format!("/sandbox/records/{object}");
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
