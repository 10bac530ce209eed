//! What a one-way stream refuses when it is loaded, and the least of one that is accepted.

use tidemark_core::hook::{Existing, Part};
use tidemark_core::spec::{DeletePolicy, Direction, Owner};

use crate::sample::{load, minimal, refused};

const ENV: [(&str, &str); 2] = [("ZAP_URL", "https://hooks.zapier.com/hooks/catch/1/abcdef/"), ("MAKER_KEY", "k1")];

fn one_way(connection: &str, stream: &str) -> String {
    format!(
        "[database]\nurl = 'sqlite:orders.db'\n[connections.zap]\nenvironment = 'production'\n{connection}\n[[connections.zap.streams]]\nobject = 'orders'\ntable = 'orders'\nkey = 'id'\n{stream}\n[connections.zap.streams.fields]\nnumber = 'number'\ntotal = {{ column = 'total_cents', as = 'decimal_of_cents' }}\n"
    )
}

fn zap(stream: &str) -> String {
    one_way("connector = 'zapier'\nsecret.url = { env = 'ZAP_URL' }", stream)
}

fn errors(text: &str) -> String {
    load(text, &ENV).unwrap_err().to_string()
}

#[test]
fn the_least_of_a_one_way_stream_sends_whole_rows_and_takes_what_is_there_as_delivered() {
    let config = load(&zap(""), &ENV).unwrap();
    let spec = &config.streams[0];
    let hook = spec.hook.as_ref().unwrap();
    assert_eq!((hook.existing, &hook.payload), (Existing::Taken, &Part::whole()));
    assert_eq!((spec.direction, spec.deletes.outbound), (Direction::Out, DeletePolicy::Ignore));
    assert!(spec.fields.iter().all(|field| field.owner == Owner::Orders));
    assert!(load(&minimal(), &[]).unwrap().streams[0].hook.is_none());
}

#[test]
fn a_template_names_fields_constants_and_facts_of_the_delivery() {
    let stream = "existing = 'send'\ndeletes = { outbound = 'tell' }\npayload = { kind = '$event', order = { number = '$field.number', total = '$json.total' }, shop = 3, tags = ['a', '$row_key'] }";
    let config = load(&zap(stream), &ENV).unwrap();
    let hook = config.streams[0].hook.as_ref().unwrap();
    assert_eq!((hook.existing, config.streams[0].deletes.outbound), (Existing::Send, DeletePolicy::Tell));
    assert!(hook.payload.all().contains(&&Part::Json("total".into())));
}

#[test]
fn a_template_that_names_what_is_not_there_is_refused_with_its_place() {
    insta::assert_snapshot!(errors(&zap("payload = { kind = '$evnt', number = '$field.numbr', at = 2020-01-01 }")), @r#"
    The configuration has 3 errors.

    tidemark.toml:11:20: connections.zap.streams[orders].payload.kind
        "$evnt" is no placeholder.
        Known are $event, $row_key, $idempotency_key, $occurred_at, $stream, $fields, $field.NAME and $json.NAME; $$ begins a text that begins with $.

    tidemark.toml:11:38: connections.zap.streams[orders].payload.number
        The payload names "numbr", which is no property of fields.
        Did you mean "number"?

    tidemark.toml:11:59: connections.zap.streams[orders].payload.at
        JSON knows no dates.
        Write it as a text, in quotes.
    "#);
}

#[test]
fn nothing_that_needs_a_reading_may_be_asked_for() {
    let stream = "direction = 'both'\nmatch_on = ['number']\nexternal_key = 'k'\nremote_id = 'zap_id'\nowner = 'hold'\npoll = { every = '5s' }\ndeletes = { outbound = 'archive' }";
    insta::assert_snapshot!(errors(&zap(stream).replace("environment", "account = 7\nenvironment")), @r#"
    The configuration has 8 errors.

    tidemark.toml:4:11: connections.zap.account
        A hook does not say whose it is.
        Take `account` out: the address in `secret` is all there is.

    tidemark.toml:12:13: connections.zap.streams[orders].direction
        This connector is only sent to: no value ever comes back.
        Write direction = "out", or leave it out.

    tidemark.toml:13:13: connections.zap.streams[orders].match_on[0]
        `match_on` needs a CRM that can be read, and this connector is only sent to.
        Take `match_on` out.

    tidemark.toml:14:16: connections.zap.streams[orders].external_key
        `external_key` needs a CRM that can be read, and this connector is only sent to.
        Take `external_key` out.

    tidemark.toml:15:13: connections.zap.streams[orders].remote_id
        `remote_id` needs a CRM that can be read, and this connector is only sent to.
        Take `remote_id` out.

    tidemark.toml:16:9: connections.zap.streams[orders].owner
        Nobody but the order database can change what is only sent.
        Write owner = "orders", or leave it out.

    tidemark.toml:17:18: connections.zap.streams[orders].poll.every
        `poll.every` needs a CRM that can be read, and this connector is only sent to.
        Take `poll.every` out.

    tidemark.toml:18:24: connections.zap.streams[orders].deletes.outbound
        A hook has no record that could be archived.
        Write "tell" to tell it of deleted rows, or "ignore".
    "#);
    let references = zap("").replace("number = 'number'", "number = { column = 'customer_id', references = 'contacts' }");
    insta::assert_snapshot!(errors(&references), @r#"
    The configuration has 2 errors.

    tidemark.toml:13:49: connections.zap.streams[orders].fields.number.references
        references names "contacts", which has no stream in this connection: there would be no links to follow.
        Add a stream for it, or reference one of `orders`.

    tidemark.toml:13:49: connections.zap.streams[orders].fields.number.references
        `references` ties two records, and a hook keeps none.
        Take `references` out: the key of the other row is told as a value.
    "#);
}

#[test]
fn every_object_has_an_address_and_no_secret_is_the_address_of_nothing() {
    insta::assert_snapshot!(errors(&one_way("connector = 'zapier'\nsecret.order = { env = 'ZAP_URL' }", "")), @r#"
    The configuration has 2 errors.

    tidemark.toml:6:8: connections.zap.secret.order
        `secret.order` is the address or key of nothing.
        Did you mean `orders`?

    tidemark.toml:8:10: connections.zap.streams[orders].object
        Nothing says where "orders" is sent.
        Write secret.orders = { env = "ZAP_ORDERS" }. One address for every object is secret.url.
    "#);
    insta::assert_snapshot!(errors(&one_way("connector = 'ifttt'\nsecret.url = { env = 'MAKER_KEY' }", "")), @r#"
    The configuration has 2 errors.

    tidemark.toml:3:14: connections.zap
        The key of the Webhooks service is missing.
        Write secret.key = { env = "ZAP_KEY" }.

    tidemark.toml:6:8: connections.zap.secret.url
        `secret.url` is the address or key of nothing.
        Known here: `signing`, `key`.
    "#);
    assert!(load(&one_way("connector = 'zapier'\nsecret.orders = { env = 'ZAP_URL' }", ""), &ENV).is_ok());
}

#[test]
fn three_values_are_three_values() {
    let ifttt =
        |stream: &str| one_way("connector = 'ifttt'\nsecret.key = { env = 'MAKER_KEY' }\nsettings.form = 'values'", stream);
    assert!(load(&ifttt("payload = { value1 = '$event', value3 = '$field.number' }"), &ENV).is_ok());
    insta::assert_snapshot!(errors(&ifttt("payload = { value1 = '$fields', number = '$field.number' }")), @r#"
    The configuration has 2 errors.

    tidemark.toml:12:13: connections.zap.streams[orders].payload.value1
        `value1` is a list or a table, and form = "values" sends texts.
        Write a text, or settings.form = "json".

    tidemark.toml:12:33: connections.zap.streams[orders].payload.number
        form = "values" sends `value1`, `value2`, `value3` alone, and the payload names `number`.
        Take it out, or write settings.form = "json".
    "#);
    insta::assert_snapshot!(errors(&ifttt("")), @r#"
    The configuration has 1 error.

    tidemark.toml:8:1: connections.zap.streams[orders]
        form = "values" sends value1, value2 and value3, and nothing says what they are.
        Add payload = { value1 = "$event", value2 = "$field.NAME" }.
    "#);
}

#[test]
fn a_stream_of_records_has_no_template() {
    insta::assert_snapshot!(refused("existing = 'send'\ndirection = 'out'\npayload = { a = '$event' }\ndeletes = { outbound = 'tell' }"), @r#"
    The configuration has 3 errors.

    tidemark.toml:12:12: connections.hubspot.streams[contacts].existing
        `existing` is about what a hook is told, and this connector keeps records.
        Take `existing` out; the connectors that are only sent to are `zapier`, `ifttt`.

    tidemark.toml:14:11: connections.hubspot.streams[contacts].payload
        `payload` is about what a hook is told, and this connector keeps records.
        Take `payload` out; the connectors that are only sent to are `zapier`, `ifttt`.

    tidemark.toml:15:24: connections.hubspot.streams[contacts].deletes.outbound
        "tell" tells a hook of deleted rows, and this connector keeps records.
        Write "archive" or "ignore".
    "#);
}
