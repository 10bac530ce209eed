//! The configuration of the tests, as it would stand in a file: contacts both ways, deals out, perhaps a second connection over the same table.

use tidemark_sandbox::Sandbox;

use crate::rig::Setup;

/// Contacts only read: what is said about sending is taken out.
pub const ONLY_READS: &[(&str, &str)] = &[
    ("direction = \"both\"", "direction = \"in\""),
    (
        "remote_id = \"hubspot_id\"\nexternal_key = \"tidemark_key\"\nmatch_on = [\"email\"]\nsend_when = { email_confirmed_at = \"present\" }",
        "remote_id = \"hubspot_id\"\nmatch_on = [\"email\"]",
    ),
    ("owner = \"orders\"", "owner = \"crm\""),
];

/// With what the set-up says otherwise.
pub(crate) fn configuration(database: &str, crm: &Sandbox, other: Option<&Sandbox>, setup: &Setup) -> String {
    let contacts = setup.contacts;
    let connection = |name: &str, crm: &Sandbox| {
        format!(
            r#"
[connections.{name}]
connector = "hubspot"
environment = "sandbox"
base_url = "{}"
secret.token = {{ env = "HUBSPOT_TOKEN" }}
call_deadline = "5s"
request_life = "5s"
budget = {{ per_second = 900, search_per_second = 900 }}
"#,
            crm.base_url()
        )
    };
    let mut text = format!(
        r#"
[database]
url = "{database}"
[defaults]
fresh_within = "10m"
[defaults.poll]
every = "1s"
lag = "0s"
settled_every = "1s"
settled_lag = "0s"
overlap = "5s"
[defaults.retry]
first = "50ms"
cap = "500ms"
"#
    );
    if let Some(vendor) = setup.vendor {
        text.push_str(&vendor.configuration(&crm.base_url(), setup.contacts));
        return setup.instead.iter().fold(text, |text, (stands, instead)| text.replace(stands, instead));
    }
    text.push_str(&connection("hubspot", crm));
    text.push_str(&format!(
        r#"
[[connections.hubspot.streams]]
object = "contacts"
table = "customers"
key = "id"
direction = "both"
remote_id = "hubspot_id"
external_key = "tidemark_key"
match_on = ["email"]
send_when = {{ email_confirmed_at = "present" }}
{contacts}
[connections.hubspot.streams.fields]
email = {{ column = "email", owner = "crm", check = "email" }}
firstname = {{ column = "first_name", owner = "orders" }}
lastname = {{ column = "last_name", owner = "orders" }}
phone = {{ column = "phone", owner = "hold" }}
company = {{ column = "company", owner = "crm" }}

[[connections.hubspot.streams]]
object = "deals"
table = "orders"
key = "id"
direction = "out"
remote_id = "hubspot_id"
external_key = "tidemark_key"
match_on = ["dealname"]
send_when = {{ status = ["accepted", "shipped", "cancelled"] }}
[connections.hubspot.streams.fields]
dealname = "number"
amount = {{ column = "total_cents", as = "decimal_of_cents" }}
dealstage = {{ column = "status", map = {{ accepted = "closedwon", shipped = "closedwon", cancelled = "closedlost" }} }}
contact = {{ column = "customer_id", references = "contacts" }}
"#
    ));
    if let Some(other) = other {
        text.push_str(&connection("other", other));
        text.push_str(
            r#"
[[connections.other.streams]]
object = "contacts"
table = "customers"
key = "id"
direction = "both"
remote_id = "other_id"
external_key = "tidemark_key"
match_on = ["email"]
[connections.other.streams.fields]
email = { column = "email", owner = "orders" }
firstname = { column = "first_name", owner = "orders" }
lastname = { column = "last_name", owner = "orders" }
phone = { column = "phone", owner = "hold" }
"#,
        );
    }
    setup.instead.iter().fold(text, |text, (stands, instead)| text.replace(stands, instead))
}
