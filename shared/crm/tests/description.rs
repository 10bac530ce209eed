//! A connector file that contradicts itself is refused at load, with its name, the place and the words.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

use tidemark_crm::Bucket;
use tidemark_crm::description::Description;

const TEXT: &str = include_str!("../../../connectors/hubspot.toml");

fn load(text: &str) -> Result<Description, String> {
    Description::load("hubspot", "my/hubspot.toml", text).map_err(|error| error.to_string())
}

fn check(from: &str, to: &str, expect: &str) {
    assert!(TEXT.contains(from), "{from}");
    let error = load(&TEXT.replacen(from, to, 1)).unwrap_err();
    assert!(error.starts_with("my/hubspot.toml: ") && error.contains(expect), "{error}");
}

#[test]
fn the_shipped_file_loads() {
    let description = load(TEXT).unwrap();
    assert_eq!(description.object("contacts").unwrap().modified, "lastmodifieddate");
    assert_eq!(description.object("p1_cars").unwrap().modified, "hs_lastmodifieddate");
}

#[test]
fn lengths_hold_for_one_property_for_an_object_or_for_all_and_are_declared_nowhere_else() {
    let length = |text: &str, object: &str, property: &str| load(text).unwrap().object(object).unwrap().chars_max(property);
    assert_eq!(length(TEXT, "contacts", "firstname"), None, "HubSpot names none for this interface");
    let all = TEXT.replacen("guarded = false", "guarded = false\ntext_chars_max = 100", 1);
    let all = all.replacen("[object.contacts]", "[object.contacts]\nchars_max = { zip = 20 }", 1);
    for (object, property, most) in
        [("contacts", "zip", 20), ("contacts", "city", 100), ("deals", "zip", 100), ("p1_cars", "zip", 100)]
    {
        assert_eq!(length(&all, object, property), Some(most), "{object} {property}");
    }
}

#[test]
fn the_paced_calls_never_exceed_the_vendors_window() {
    let limits = load(TEXT).unwrap().limits(&Default::default());
    for limit in limits {
        let (calls, window) = if limit.bucket == Bucket::Search { (5.0, 1.0) } else { (190.0, 10.0) };
        assert!(f64::from(limit.burst) + limit.per_second * window <= calls);
    }
}

#[test]
fn a_wrong_rule_is_named() {
    check(
        "class = \"day_budget\"",
        "class = \"tired\"",
        "error rule 4 (the day's calls are spent): unknown class `tired`; known are throttled",
    );
    check("status = 423", "status = 4230", "error rule 3 (locked for two seconds): 4230 is not an HTTP status");
    check("\"/policyName\" = \"DAILY\"", "policyName = \"DAILY\"", "`policyName` is not a JSON pointer");
    check("when = { status = 423 }", "when = {}", "would match everything");
    check("when = { item = true, body", "when = { item = true, status = 400, body", "cannot be combined");
    check("when = { status = 477 }", "when = { status = 423 }", "never reached");
    check("when = { status = 477 }", "when = { header = { \"a b\" = \"c\" } }", "is not a header name");
    check("when = { status = 477 }", "when = { state = 477 }", "unknown field `state`");
    check("existing = [", "existing = [{ at = \"message\" },", "`message` is not a JSON pointer");
}

#[test]
fn a_wrong_declaration_is_named() {
    check("burst = 1\n", "burst = 2\n", "budget.search: burst + per_second * window_secs is 6, above the limit of 5 calls");
    check("per_second = 4.0", "per_second = 0.0", "budget.search: per_second and burst must be above zero");
    check("commit_lag_secs = 3600", "commit_lag_secs = 5", "commit_lag_secs is shorter than fast_lag_secs");
    check("batch_rows_max = 100", "batch_rows_max = 0", "must be above zero");
    check("guarded = false", "guarded = false\ntext_chars_max = 0", "chars_max and text_chars_max must be above zero");
    check("guarded = false", "", "object_default.guarded is missing");
    check("order = \"id_only\"", "order = \"by_luck\"", "unknown variant `by_luck`");
    check("objects = \"/crm/v3/objects\"", "objects = \"crm/v3/objects/\"", "paths.objects");
    check("name = \"hubspot\"", "name = \"salesforce\"", "connector.name is `salesforce`, expected `hubspot`");
    check("[connector]", "[connectr]", "connectr");
}
