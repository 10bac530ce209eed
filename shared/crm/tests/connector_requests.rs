//! What a connector file's requests and pages come to is refused at load where it would lose rows or change what is asked: with the line, what is wrong and what to write.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

use tidemark_crm::engine::Connector;

const SMALL: &str = include_str!("server/small.toml");

/// All that is said of the smallest file with these changes.
fn refusals(changes: &[(&str, &str)]) -> String {
    let mut text = SMALL.to_owned();
    for (stands, instead) in changes {
        assert!(text.contains(stands), "{stands}");
        text = text.replacen(stands, instead, 1);
    }
    Connector::load("small", "small.toml", &text).map(|_| String::new()).unwrap_or_else(|error| error.to_string())
}

/// One refusal, of the line on which this stands.
fn refuses(changes: &[(&str, &str)], stands: &str, expect: &str) {
    let told = refusals(changes);
    let mut text = SMALL.to_owned();
    changes.iter().for_each(|(from, to)| text = text.replacen(from, to, 1));
    let line = 1 + text.lines().position(|line| line.contains(stands)).unwrap();
    let fits = |told: &str| told.starts_with(&format!("small.toml:{line}: ")) && told.contains(expect);
    assert!(told.lines().count() == 1 && told.lines().any(fits), "line {line}: {expect}\n{told}");
}

const AFTER: &str = "after = { query = { cursor = \"{token}\" } }";

#[test]
fn a_get_has_no_body_wherever_one_is_laid_over_it() {
    let remedy = "a GET has no body. Write method = \"POST\", or move the body into `query`.";
    let after = "after = { query = { cursor = \"{token}\" }, body = { of = \"next\" } }";
    refuses(&[(AFTER, after)], "of = \"next\"", &format!("read.after.body: {remedy}"));
    let first = format!("{AFTER}\nfirst = {{ body = {{ of = \"first\" }} }}");
    refuses(&[(AFTER, &first)], "of = \"first\"", &format!("read.first.body: {remedy}"));
    let posted = format!("method = \"POST\"\n{after}\nfirst = {{ body = {{ of = \"first\" }} }}");
    assert_eq!(refusals(&[(AFTER, &posted)]), "");
}

#[test]
fn a_cap_is_taken_only_where_it_can_be_met() {
    let (token, order) = ("page = { kind = \"token\", next = \"/next\" }", "order = \"time\"");
    let none = [(token, "page = { kind = \"none\" }\nresult_cap = 500"), (order, "order = \"none\""), (AFTER, "")];
    let read = "[object.people.read]";
    refuses(&none, read, "people.read: where nobody counts, a cap looks like the end. Write where the count stands");
    let counted = [none.as_slice(), &[("result_cap = 500", "result_cap = 500\ntotal = \"/total\"")]].concat();
    assert_eq!(refusals(&counted), "");
    let small = [counted.as_slice(), &[("result_cap = 500", "result_cap = 99")]].concat();
    refuses(&small, read, "people.read: a page cannot hold more than its query gives: `rows_max` is above `result_cap`.");
    let keyset = [
        ("kind = \"window\"", "kind = \"keyset\""),
        (order, "order = \"id\""),
        (token, "page = { kind = \"keyset\" }\nresult_cap = 500"),
        (AFTER, "after = { query = { over = \"{after_id}\" } }"),
    ];
    refuses(&keyset, read, "people.read: each page of a keyset is a query of its own: nothing comes of result_cap. Take");
    let sweep = [
        ("kind = \"window\"\nlower = \"closed\"\nupper = \"open\"\norder = \"time\"", "kind = \"sweep\""),
        ("since = \"{from|rfc3339_secs}\", before = \"{until|rfc3339_secs}\", ", ""),
        (token, "page = { kind = \"none\" }\ntotal = \"/total\"\nresult_cap = 500"),
        (AFTER, ""),
    ];
    refuses(&sweep, read, "people.read: a sweep has no bounds that could be drawn closer");
}

#[test]
fn a_list_of_texts_stands_alone_and_is_quoted_inside_a_query() {
    let term = "term = \"{value}\"";
    let unquoted = "is a text inside other text and could change its meaning. Quote it with |soql, |odata or |coql";
    for inside in ["Email IN ('{values|csv}')", "ids:{values|csv}"] {
        let change = format!("by_too = \"{inside}\", {term}");
        refuses(&[(term, &change)], inside, &format!("look_up.query.by_too: {{values}} {unquoted}"));
    }
    // Quoted as a whole it would look for one text that nobody has.
    for more in ["soql", "lower", "md5_lower"] {
        let change = format!("by_too = \"{{values|csv|{more}}}\", {term}");
        let refused = format!("look_up.query.by_too: the filter {more} does not fit {{values}}, which is a list with commas.");
        refuses(&[(term, &change)], &format!("csv|{more}"), &refused);
    }
    for safe in ["{values|csv}", "Email IN ({values|soql})"] {
        assert_eq!(refusals(&[(term, &format!("term = \"{safe}\""))]), "", "{safe}");
    }
    let names = "limit = \"{rows_max}\", q = \"select {fields|csv} from people\"";
    assert_eq!(refusals(&[("limit = \"{rows_max}\"", names)]), "", "names are nothing but names");
}
