//! A connector file that contradicts itself, or would lose rows, is refused at load with its name, the line, what is wrong and what to write.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

use std::fmt::Write as _;

use tidemark_crm::engine::Connector;

const SHIPPED: [(&str, &str); 6] = [
    ("dataverse", include_str!("../../../connectors/dataverse.toml")),
    ("pipedrive", include_str!("../../../connectors/pipedrive.toml")),
    ("mailchimp", include_str!("../../../connectors/mailchimp.toml")),
    ("salesforce", include_str!("../../../connectors/salesforce.toml")),
    ("zoho-books", include_str!("../../../connectors/zoho-books.toml")),
    ("zoho-crm", include_str!("../../../connectors/zoho-crm.toml")),
];

/// The smallest file with every part in it that the cases change.
const SMALL: &str = include_str!("server/small.toml");

fn refusals(text: &str) -> String {
    Connector::load("small", "my/small.toml", text).map(|_| String::new()).unwrap_or_else(|error| error.to_string())
}

#[test]
fn the_smallest_file_loads() {
    assert_eq!(refusals(SMALL), "");
}

#[test]
fn the_shipped_files_load() {
    for (name, text) in SHIPPED {
        Connector::load(name, name, text).map_err(|error| error.to_string()).unwrap();
    }
}

/// The smallest file, with another way to read pages.
fn reading(read: &str) -> String {
    let (head, rest) = SMALL.split_once("[object.people.read]").unwrap();
    let (_, tail) = rest.split_once("[object.people.read_ids]").unwrap();
    format!("{head}{read}\n[object.people.read_ids]{tail}")
}

#[test]
fn the_example_of_the_document_loads() {
    let (_, reference) = include_str!("../../../docs/connectors.md").split_once("### Every key").unwrap();
    let example = reference.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(example.contains("[object.people.read]"), "{example}");
    assert_eq!(refusals(&reading(example)), "");
}

#[test]
fn several_faults_are_told_together_in_the_order_of_their_lines() {
    let text = SMALL
        .replace("one = true", "one = 1")
        .replace("rows_max = 100\n", "")
        .replace("class = \"throttled\"", "class = \"tired\"");
    let told = refusals(&text);
    let lines: Vec<usize> = told.lines().map(|line| line.split(':').nth(1).unwrap().parse().unwrap()).collect();
    assert!(lines.len() >= 3 && lines.is_sorted(), "{told}");
}

/// What is replaced, by what, and what is then said of which line: `line: place: words`, in part.
const CASES: &[(&str, &str, &str)] = &[
    // What is no TOML, no key, no value.
    ("[connector]", "[connector", "2: this is not TOML"),
    (
        "vendor = \"Small\"",
        "vendr = \"Small\"",
        "4: connector.vendr: the key `vendr` is not known here. Take it out, or write one of name, vendor",
    ),
    ("vendor = \"Small\"", "vendor = 3", "4: connector.vendor: this is a whole number, and a text belongs here. Write \"…\"."),
    ("name = \"small\"", "name = \"large\"", "3: connector.name: the file is for `large` and stands for `small`."),
    ("name = \"small\"\n", "", "connector: `name` is missing."),
    ("[timing]", "[timings]", "timings: the key `timings` is not known here."),
    ("rows_max = 100", "rows_max = 0", "object.people.read.rows_max: 0 is out of bounds. Write a number from 1 to 10000."),
    ("rows_max = 100", "rows_max = \"many\"", "read.rows_max: this is a text, and a whole number belongs here."),
    ("one = true", "one = 1", "read_ids.one: this is a whole number, and true or false belongs here."),
    // Hosts and credentials.
    ("https://small.test", "http://small.test", "host.any: credentials travel by https only."),
    ("https://small.test", "https://small.test/api", "host.any: a host holds no path."),
    (
        "https://small.test",
        "https://{secret.token}.test",
        "host.any: there is no hole {secret.token} here. Holes here are {config.list}.",
    ),
    (
        "kind = \"header\"",
        "kind = \"headers\"",
        "auth.kind: `headers` is not known here. Write one of header, basic, oauth_refresh, oauth_client, oauth_jwt, session_login.",
    ),
    ("Bearer {secret.token}", "Bearer x", "auth.value: no secret is used. Use {secret.NAME}."),
    (
        "Bearer {secret.token}",
        "Bearer {secret.tokn}",
        "auth.value: there is no hole {secret.tokn} here. Holes here are {config.list}, {secret.token}.",
    ),
    ("header = \"Authorization\"", "header = \"Author ization\"", "auth.header: `Author ization` is not a header's name."),
    ("kind = \"header\"", "kind = \"oauth_refresh\"", "auth: `path` is missing."),
    (
        "path = \"/me\"",
        "path = \"/me\"\nquery = { key = \"{secret.token}\" }",
        "account.query.key: there is no hole {secret.token} here.",
    ),
    (
        "kind = \"header\"",
        "kind = \"oauth_jwt\"\npath = \"/token\"\ntoken = \"/t\"\nclaims = { iss = \"me\" }\nsends = { header = \"A\", value = \"{token}\" }",
        "auth: a statement is signed, and no key is asked for. Write [secret.private_key] with about",
    ),
    ("path = \"/me\"", "path = \"/me\"\ncost = 0", "account.cost: this is no cost of a call. Write a number from 1 to 10000."),
    ("path = \"/me\"", "path = \"/me\"\ncost = { units = 2 }", "account.cost: `rows` is missing."),
    // Budgets, account, errors.
    ("burst = 2", "burst = 9", "budget.general: burst + per_second * window_secs is 27, above the limit of 20 calls."),
    ("environment = \"untold\"", "", "account: `environment` is missing. Write { at = …, words = { … } }, or \"untold\""),
    ("class = \"throttled\"", "class = \"tired\"", "error[0]: error rule 1 (too many): unknown class `tired`"),
    ("status = 429", "status = 42", "error[0]: error rule 1 (too many): 42 is not an HTTP status."),
    ("existing = []", "", "words: missing field `existing`."),
    // Templates.
    (
        "{from|rfc3339_secs}",
        "{from}",
        "read.query.since: {from} is a moment without a form. Add a filter such as |rfc3339_secs or |millis.",
    ),
    ("{from|rfc3339_secs}", "{from|rfc3340}", "read.query.since: `rfc3340` is no filter. Filters are rfc3339, rfc3339_secs"),
    ("{from|rfc3339_secs}", "{from|naive(CET)}", "read.query.since: `naive(CET)` is no filter."),
    ("{from|rfc3339_secs}", "{from|csv}", "read.query.since: the filter csv does not fit {from}, which is a moment."),
    ("{from|rfc3339_secs}", "{from|rfc3339_secs", "read.query.since: `{from|rfc3339_secs` opens a hole and never closes it."),
    ("{from|rfc3339_secs}", "from}", "read.query.since: `from}` closes a hole that was not opened."),
    (
        "{from|rfc3339_secs}",
        "{form|rfc3339_secs}",
        "read.query.since: there is no hole {form} here. Holes here are {from}, {until}, {fields}, {rows_max}, {object}, {config.list}.",
    ),
    (
        "term = \"{value}\"",
        "term = \"name = '{value}'\"",
        "look_up.query.term: {value} is a text inside other text and could change its meaning. Quote it with |soql, |odata or |coql; in an address write |segment.",
    ),
    (
        "term = \"{value}\"",
        "term = \"{values}\"",
        "look_up.query.term: {values} is a list. Add |csv, or a quoting filter such as |soql.",
    ),
    (
        "body = \"{row}\"\noutcome",
        "body = { x = \"a {row}\" }\noutcome",
        "create.body.x: {row} is JSON and stands only alone in a body.",
    ),
    ("body = \"{row}\"\noutcome", "body = { \"{id}\" = 1 }\noutcome", "create.body.{id}: there is no hole {id} here."),
    ("path = \"/people/search\"", "path = \"people/search\"", "look_up.path: the path `people/search` does not begin with /."),
    ("path = \"/people/search\"", "path = \"/people?x=1\"", "look_up.path: a path holds neither a query nor encoded signs."),
    ("path = \"/people/search\"", "path = \"/people\"\nbody = { a = 1 }", "look_up: a GET has no body."),
    (
        "body = \"{row}\"\noutcome",
        "body = { firm = \"/firms/{null}\", all = \"{row}\" }\noutcome",
        "create.body.firm: there is no hole {null} here.",
    ),
    ("{from|rfc3339_secs}", "{from|segment}", "read.query.since: the filter segment does not fit {from}, which is a moment."),
    // Places and stamps.
    ("rows = \"/data\"\nrows_max", "rows = \"data\"\nrows_max", "read.rows: `data` is not a place in JSON."),
    ("id = \"/id\"\nmodified", "modified", "object.people: `id` is missing."),
    ("form = \"iso\"", "form = \"american\"", "modified.form: `american` is no form of a stamp. Write iso, naive(UTC)"),
    (", precision = \"second\"", "", "object.people.modified: `precision` is missing: windows would meet at an unknown step"),
    ("precision = \"second\"", "precision = \"millisecond\"", "read: a bound is written in a coarser form than the stamps have"),
    // What reading contradicts itself in.
    ("kind = \"window\"", "kind = \"delta\"", "read.kind: `delta` is not known here. Write one of window, keyset, sweep."),
    ("order = \"time\"", "order = \"time_id\"", "object.people.read: this order is read behind a key, and kind says otherwise."),
    ("kind = \"window\"", "kind = \"keyset\"", "read: a keyset goes on behind a key, and this order has none."),
    (
        "kind = \"window\"\nlower = \"closed\"\nupper = \"open\"\norder = \"time\"",
        "kind = \"keyset\"\nlower = \"closed\"\nupper = \"open\"\norder = \"time_id\"",
        "read: a keyset is a query of its own for each page.",
    ),
    (
        "page = { kind = \"token\", next = \"/next\" }",
        "page = { kind = \"keyset\" }",
        "read: pages behind a key belong to a keyset.",
    ),
    (
        "lower = \"closed\"\n",
        "",
        "read: `lower` is missing: whether a stamp equal to the bound belongs to the answer decides what is lost.",
    ),
    ("upper = \"open\"\n", "", "read: `upper` is missing."),
    ("since = \"{from|rfc3339_secs}\", ", "", "read: {from} is never used: every page would begin at the beginning."),
    (", before = \"{until|rfc3339_secs}\"", "", "read: `upper` and {until} contradict each other."),
    (
        "upper = \"open\"\norder = \"time\"",
        "upper = \"none\"\norder = \"none\"",
        "read: without an upper bound the window is not closed",
    ),
    (
        "modified = { at = \"/updated\", form = \"iso\", precision = \"second\" }\n",
        "",
        "read: a window goes by stamps, and the object declares none.",
    ),
    ("kind = \"window\"", "kind = \"sweep\"", "read: a sweep reads everything: it has no bounds and no order by time."),
    ("page = { kind = \"token\", next = \"/next\" }", "page = { kind = \"token\" }", "read.page: `next` is missing."),
    (
        "page = { kind = \"token\", next = \"/next\" }",
        "page = { kind = \"none\" }",
        "read: rows that share one stamp and fill a page could not be read to their end.",
    ),
    (
        "page = { kind = \"token\", next = \"/next\" }",
        "page = { kind = \"offset\" }",
        "read: numbered pages are read to the last and back, and nothing says how many there are or that there is another.",
    ),
    (
        "page = { kind = \"token\", next = \"/next\" }",
        "more = \"/more\"\nresult_cap = 9\npage = { kind = \"offset\" }",
        "read: where nobody counts, a cap looks like the end.",
    ),
    (
        "[config.list]\nabout = \"the list\"\n",
        "[config.list]\nabout = \"the list\"\none_of = [\"a\", \"b\"]\n[config.other]\nabout = \"what follows\"\nof = \"list\"\n",
        "config.other: `of` and `words` go together. Write which setting it follows from, and its word for each value of that.",
    ),
    (
        "[config.list]\nabout = \"the list\"\n",
        "[config.list]\nabout = \"the list\"\n[config.other]\nabout = \"what follows\"\nof = \"list\"\nwords = { a = \"1\" }\n",
        "config.other: `list` is no setting with `one_of`. Name one whose values are listed.",
    ),
    (
        "[config.list]\nabout = \"the list\"\n",
        "[config.list]\nabout = \"the list\"\none_of = [\"a\", \"b\"]\n[config.other]\nabout = \"what follows\"\nof = \"list\"\nwords = { a = \"1\" }\n",
        "config.other: there is no word for b. Write one for each value of `list`.",
    ),
    (
        "[config.list]\nabout = \"the list\"\n",
        "[config.list]\nabout = \"the list\"\none_of = [\"a\"]\n[config.other]\nabout = \"what follows\"\nof = \"list\"\nwords = { a = \"1\", c = \"2\" }\n",
        "config.other: `c` is no value of `list`. Correct one of them.",
    ),
    (
        "[config.list]\nabout = \"the list\"\n",
        "[config.list]\nabout = \"the list\"\none_of = [\"a\"]\n[config.other]\nabout = \"what follows\"\ndefault = \"x\"\nof = \"list\"\nwords = { a = \"1\" }\n",
        "config.other.default: what follows from another setting is not said by a connection. Take it out.",
    ),
    (
        "page = { kind = \"token\", next = \"/next\" }",
        "result_cap = 9\npage = { kind = \"token\", next = \"/next\" }",
        "read: where nobody counts, a cap looks like the end.",
    ),
    (
        "page = { kind = \"token\", next = \"/next\" }",
        "end = \"empty_page\"\npage = { kind = \"token\", next = \"/next\" }",
        "read: `end` is for pages by number or offset that nobody counts. Take it out.",
    ),
    (
        "rows_max = 100",
        "end = \"empty_page\"\nmore = \"/more\"\nrows_max = 100",
        "read.end: the answer says already whether another page follows.",
    ),
    (
        "rows_max = 100",
        "end = \"never\"\nrows_max = 100",
        "read.end: `never` is not known here. Write one of empty_page, short_page.",
    ),
    (
        "rows_max = 100",
        "more = \"/people/{rows_max}\"\nrows_max = 100",
        "read.more: `/people/{rows_max}` has a hole, and a place is where something stands in an answer: nothing is filled in there. Write a JSON pointer such as /data/id",
    ),
    ("rows = \"/data\"\nrows_max", "rows = \"/{object}\"\nrows_max", "read.rows: `/{object}` has a hole"),
    (
        "at = \"/error\"",
        "at = \"/{id}\"",
        "words: words: `/{id}` has a hole, and nothing is filled in where an answer is looked at.",
    ),
    ("rows_max = 100", "more = { is = \"y\" }\nrows_max = 100", "read.more: `at` is missing."),
    ("[words]", "[refused]\n\"/code\" = { none = \"0\" }\n[words]", "refused./code: `not` is missing."),
    ("{from|rfc3339_secs}", "{from|offset_digits(CET)}", "`offset_digits(CET)` is no filter."),
    (
        "page = { kind = \"token\", next = \"/next\" }",
        "page = { kind = \"offset\" }",
        "read.after.query.cursor: there is no hole {token} here.",
    ),
    ("after = { query = { cursor = \"{token}\" } }", "", "read: {token} is never used: the same page would come for ever."),
    (", limit = \"{rows_max}\"", "", "read: {rows_max} is never used: the vendor's own page size would look like the end."),
    (
        "rows = \"/data\"\nrows_max",
        "more = \"/more\"\ndone = \"/done\"\nrows = \"/data\"\nrows_max",
        "read.done: `more` and `done` say the same thing.",
    ),
    ("commit_lag_secs = 60", "commit_lag_secs = 2", "object.people: commit_lag_secs is shorter than fast_lag_secs."),
    (
        "commit_lag_secs = 60\n",
        "",
        "object.people: `commit_lag_secs` is missing. Write it here, or under [timing] for every object.",
    ),
    // Reading what is known, and looking up.
    ("[object.people.read_ids]", "[object.people.read_by]", "object.people: `read_ids` is missing."),
    ("one = true", "one = true\nrows_max = 5", "read_ids: {id} is one, and rows_max says 5."),
    (
        "path = \"/people/{id}\"\nrows",
        "path = \"/people\"\nrows",
        "read_ids: {id} or {ids} is never used: what is asked for would not be said.",
    ),
    ("by = \"{property}\", ", "", "look_up: {property} is never used: what is asked for would not be said."),
    // Deletes.
    (
        "[object.people.look_up]",
        "[object.people.deletes]\nkind = \"sweep\"\npath = \"/gone\"\nquery = { since = \"{from|rfc3339_secs}\", n = \"{rows_max}\" }\nrows = \"/data\"\nrows_max = 9\nmore = \"/more\"\npage = { kind = \"number\" }\nafter = { query = { p = \"{page}\" } }\n[object.people.look_up]",
        "deletes: deletes are read from a time on, behind every window.",
    ),
    (
        "[object.people.look_up]",
        "[object.people.deletes]\nkind = \"window\"\nlower = \"closed\"\nupper = \"none\"\npath = \"/gone\"\nquery = { since = \"{from|rfc3339_secs}\", n = \"{rows_max}\", f = \"{fields|csv}\" }\nrows = \"/data\"\nrows_max = 9\nmore = \"/more\"\npage = { kind = \"number\" }\nafter = { query = { p = \"{page}\" } }\n[object.people.look_up]",
        "deletes.query.f: there is no hole {fields} here.",
    ),
    (
        "[object.people.look_up]",
        "[object.people.deletes]\nkind = \"window\"\nlower = \"closed\"\nupper = \"none\"\npath = \"/gone\"\nquery = { since = \"{from|rfc3339_secs}\", n = \"{rows_max}\" }\nrows = \"/data\"\nrows_max = 9\npage = { kind = \"number\" }\nafter = { query = { p = \"{page}\" } }\n[object.people.look_up]",
        "deletes: numbered pages are read to the last and back, and nothing says how many there are or that there is another.",
    ),
    // Guards.
    (
        "path = \"/people\"\nbody = \"{row}\"",
        "path = \"/people\"\nbody = \"{row}\"\nguard = { header = { If-Match = \"{version}\" } }",
        "create.guard: the key `guard` is not known here.",
    ),
    (
        "path = \"/people/{id}\"\nbody = \"{row}\"",
        "path = \"/people/{id}\"\nbody = \"{row}\"\nguard = { header = { If-Match = \"{version}\" } }",
        "object.people: a guard names a version, and where it stands in a row is not said. Write `version` at the object",
    ),
    (
        "path = \"/people/{id}\"\nbody = \"{row}\"",
        "path = \"/people/{id}\"\nbody = \"{row}\"\nguard = { header = { If-Match = \"*\" } }",
        "update.guard: {version} is never used: nothing would be guarded.",
    ),
    (
        "path = \"/people/{id}\"\nbody = \"{row}\"",
        "path = \"/people\"\nitem = { id = \"{id}\" }\nrows_max = 9\nbody = { all = \"{rows}\" }\noutcome = { kind = \"atomic\" }\nguard = { header = { If-Match = \"{version}\" } }",
        "update: a guard is one record's, and a batch is declared.",
    ),
    // Writing.
    (
        "outcome = { kind = \"whole\", id = \"/id\" }",
        "",
        "create: where the new record's id stands is not said: it would be made again.",
    ),
    (
        "outcome = { kind = \"whole\", id = \"/id\" }",
        "outcome = { kind = \"per_item\", items = \"/data\" }",
        "create.outcome: `ok` is missing.",
    ),
    (
        "outcome = { kind = \"whole\", id = \"/id\" }",
        "outcome = { kind = \"whole\", id = \"/id\" }\nrows_max = 9",
        "create: {row} is one item's, and a batch of 9 is declared.",
    ),
    (
        "body = \"{row}\"\noutcome = { kind = \"whole\", id = \"/id\" }",
        "rows_max = 9\nbody = { all = \"{rows}\" }\noutcome = { kind = \"whole\", id = \"/id\" }",
        "create: a batch has one outcome for each item, and nothing says where they stand.",
    ),
    (
        "outcome = { kind = \"whole\", id = \"/id\" }",
        "outcome = { kind = \"per_item\", items = \"/data\", ok = { at = \"/ok\", is = \"1\" }, by = \"id\", id = \"/id\" }",
        "create: a new record has no id by which its entry could be known.",
    ),
    ("path = \"/people\"\nbody = \"{row}\"", "path = \"/people\"", "create: what is written is never used."),
    (
        "[object.people.look_up]",
        "[object.people.read_archived]\npath = \"/people/{id}\"\nrows = \"\"\none = true\n[object.people.look_up]",
        "read_archived: an archived record could not be told from any other.",
    ),
    (
        "path = \"/people/{id}\"\nbody = \"{row}\"",
        "path = \"/people\"\nbody = \"{row}\"",
        "update: {id} is never used: which record is meant would not be said.",
    ),
    (
        "[object.people.archive]",
        "[object.people.property.mail]\nat = \"/mails/[main=true]/v\"\n[object.people.archive]",
        "property.mail: the place chooses from a list, so that nothing can be put there.",
    ),
    (
        "[object.people.archive]",
        "[object.people.property.mail]\nat = \"/mails/[main=true]/v\"\nwrite = { mails = [\"{value}\"] }\n[object.people.archive]",
        "property.mail: what is sent for a value, and what for none, belong together.",
    ),
    (
        "[object.people.archive]",
        "[object.people.reference]\nfirms = \"firm_id\"\n[object.people.archive]",
        "object.people.reference.firms: there is no such object.",
    ),
];

#[test]
fn each_wrong_file_is_refused_with_line_and_remedy() {
    let mut wrong = String::new();
    for (from, to, expect) in CASES {
        assert_eq!(SMALL.matches(from).count().min(1), 1, "{from}");
        let told = refusals(&SMALL.replacen(from, to, 1));
        let fits = |line: &str| line.strip_prefix("my/small.toml:").is_some_and(|rest| rest.contains(expect));
        if !told.lines().any(fits) {
            writeln!(wrong, "{from:?} -> {to:?}\n  expected {expect:?}\n  told     {told}").unwrap();
        }
    }
    assert!(CASES.len() >= 40 && wrong.is_empty(), "{wrong}");
}

#[test]
fn a_look_up_has_to_show_what_it_found_a_record_by() {
    let text = |trusts: &str| {
        let text = SMALL.replacen("[object.people]\n", "[object.people]\nlisted = [\"name\", \"our_*\"]\n", 1);
        text.replacen(
            "[object.people.look_up]\n",
            &format!("[object.people.look_up]\nproperties = [\"our_key\", \"mail\"]\n{trusts}"),
            1,
        )
    };
    let told = refusals(&text(""));
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("look_up: a record is looked up by mail, and `listed` says that no list shows it."), "{told}");
    assert_eq!(refusals(&text("trusts = true\n")), "");
    let any = SMALL.replacen("[object.people]\n", "[object.people]\nlisted = [\"name\"]\n", 1);
    assert!(refusals(&any).contains("any may be looked up: what is found would not show it"), "{}", refusals(&any));
}

/// Each line names a line of the file and ends with what to do.
#[test]
fn every_refusal_names_the_line_that_was_changed_or_its_table() {
    for (from, to, _) in CASES {
        let text = SMALL.replacen(from, to, 1);
        for line in refusals(&text).lines() {
            let mut parts = line.splitn(3, ':');
            let number: usize = parts.nth(1).unwrap().parse().unwrap();
            assert!(
                (1..=text.lines().count()).contains(&number) && line.ends_with('.') && line.matches(". ").count() >= 1,
                "{line}"
            );
        }
    }
}
