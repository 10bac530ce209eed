//! Connector files that load and are wrong: each with the case that has to catch it. A suite that passes them proves nothing.

use tidemark_conformance::case_named;

use super::{Change, run};
use crate::vendor::{DATAVERSE, HUBSPOT_PAGED, MAILCHIMP, PIPEDRIVE, SALESFORCE, Vendor, ZOHO_BOOKS, ZOHO_BOOKS_NOTES, ZOHO_CRM};

/// A file with a mistake in it.
#[derive(Debug)]
pub struct Wrong {
    pub vendor: &'static Vendor,
    /// What is wrong.
    pub mistake: &'static str,
    pub changes: &'static [Change],
    /// The case that catches it.
    pub caught_by: &'static str,
}

const fn wrong(vendor: &'static Vendor, mistake: &'static str, caught_by: &'static str, changes: &'static [Change]) -> Wrong {
    Wrong { vendor, mistake, changes, caught_by }
}

pub static FILES: [Wrong; 65] = [
    wrong(&HUBSPOT_PAGED, "a search that is said to reach everything", "caps", &[("result_cap = 6\n", "")]),
    wrong(&HUBSPOT_PAGED, "a search that is said to reach further", "caps", &[("result_cap = 6", "result_cap = 60000")]),
    wrong(
        &SALESFORCE,
        "a window that is read to its end by offsets",
        "caps",
        &[
            ("kind = \"keyset\"\nlower", "kind = \"window\"\nlower"),
            ("order = \"time_id\"", "order = \"none\""),
            ("done = \"/done\"\npage = { kind = \"keyset\" }", "end = \"empty_page\"\npage = { kind = \"offset\" }"),
            (
                "AND (SystemModstamp > {after_time|rfc3339_secs} OR (SystemModstamp = {after_time|rfc3339_secs} AND Id > {after_id|soql})) ORDER BY SystemModstamp ASC, Id ASC LIMIT {rows_max}",
                "ORDER BY SystemModstamp ASC, Id ASC LIMIT {rows_max} OFFSET {offset}",
            ),
        ],
    ),
    wrong(
        &PIPEDRIVE,
        "a refusal that is said to pass by itself",
        "worn",
        &[("[words]\n", "[[error]]\nrule = \"refused\"\nwhen = { status = 400 }\nthen = { class = \"retry\" }\n[words]\n")],
    ),
    wrong(
        &MAILCHIMP,
        "the choices of a merge field looked for elsewhere",
        "drift",
        &[("options = { at = \"/options/choices\"", "options = { at = \"/options\"")],
    ),
    wrong(&ZOHO_CRM, "choices described as numbers", "drift", &[("picklist = \"choice\"", "picklist = \"number\"")]),
    wrong(&ZOHO_CRM, "numbers described as texts", "drift", &[("double = \"number\"", "double = \"text\"")]),
    wrong(
        &PIPEDRIVE,
        "another name for what a property is called",
        "drift",
        &[("name = \"/field_code\"", "name = \"/field_name\"")],
    ),
    wrong(
        &MAILCHIMP,
        "merge fields that are described without their prefix",
        "drift",
        &[("prefix = { text = \"merge_fields.\" }\n", "")],
    ),
    wrong(&DATAVERSE, "another word for who is gone", "told", &[("is = \"deleted\"", "is = \"removed\"")]),
    wrong(
        &DATAVERSE,
        "the place of later changes looked for elsewhere",
        "told",
        &[("again = \"/@odata.deltaLink\"", "again = \"/@odata.delta\"")],
    ),
    wrong(&ZOHO_BOOKS_NOTES, "lists that are said to show all of a record", "parts", &[("listed = [", "always = [")]),
    wrong(&ZOHO_BOOKS_NOTES, "a property that no list shows among the listed", "parts", &[("\"cf_*\"", "\"cf_*\", \"notes\"")]),
    wrong(
        &DATAVERSE,
        "a version that is the stamp of a record",
        "guard",
        &[("version = \"/@odata.etag\"", "version = \"/modifiedon\"")],
    ),
    wrong(
        &DATAVERSE,
        "a guard that names no header the CRM knows",
        "guard",
        &[("guard = { header = { If-Match = \"{version}\" } }", "guard = { header = { X-Match = \"{version}\" } }")],
    ),
    wrong(
        &ZOHO_CRM,
        "a feed of deletes that tells the ids of others",
        "told",
        &[("modified = { at = \"/deleted_time\"", "id = \"/deleted_by/id\"\nmodified = { at = \"/deleted_time\"")],
    ),
    wrong(
        &ZOHO_CRM,
        "a feed of deletes whose second page is its first",
        "told",
        &[("after = { query = { page = \"{page}\" } }", "after = { query = { pag = \"{page}\" } }")],
    ),
    wrong(&PIPEDRIVE, "an upper bound that is open, declared closed", "windows", &[("upper = \"open\"", "upper = \"closed\"")]),
    wrong(
        &PIPEDRIVE,
        "the stamp of the first save for that of the last",
        "stamps",
        &[("at = [\"/update_time\", \"/add_time\"]", "at = \"/add_time\"")],
    ),
    wrong(
        &PIPEDRIVE,
        "seconds declared as milliseconds",
        "stamps",
        &[
            ("precision = \"second\"", "precision = \"millisecond\""),
            ("{from|rfc3339_secs}", "{from|rfc3339}"),
            ("{until|rfc3339_secs}", "{until|rfc3339}"),
        ],
    ),
    wrong(
        &PIPEDRIVE,
        "the next page's token looked for elsewhere",
        "ties",
        &[("/additional_data/next_cursor", "/additional_data/next")],
    ),
    wrong(
        &PIPEDRIVE,
        "another word for what is deleted",
        "archive",
        &[("archived = { at = \"/is_deleted\", is = \"true\" }", "archived = { at = \"/is_deleted\", is = \"yes\" }")],
    ),
    wrong(&PIPEDRIVE, "404 as an empty list", "no_page", &[("rows_max = 500", "rows_max = 500\nempty_status = [404]")]),
    wrong(&PIPEDRIVE, "a look-up that finds wrappers instead of rows", "look_up", &[("row = \"/item\"\n", "")]),
    wrong(&PIPEDRIVE, "a look-up by a part of the value", "look_up", &[("exact_match = \"true\"", "exact_match = \"false\"")]),
    wrong(
        &PIPEDRIVE,
        "what clears an e-mail sent as text",
        "values",
        &[("clear = { phones = [] }", "clear = { phones = \"\" }")],
    ),
    wrong(
        &PIPEDRIVE,
        "an update by another method",
        "values",
        &[("path = \"/api/v2/persons/{id}\"\ncost = 5\nbody", "method = \"PUT\"\npath = \"/api/v2/persons/{id}\"\nbody")],
    ),
    wrong(
        &PIPEDRIVE,
        "a throttle read as refused credentials",
        "throttles",
        &[("then = { class = \"throttled\", wait_secs_min = 2 }", "then = { class = \"auth\" }")],
    ),
    wrong(
        &PIPEDRIVE,
        "a spent day read as a throttle",
        "day",
        &[("then = { class = \"day_budget\" }", "then = { class = \"throttled\" }")],
    ),
    wrong(&PIPEDRIVE, "a refusal under 200 read as an answer", "no_page", &[("[refused]\n\"/success\" = \"false\"\n", "")]),
    wrong(&MAILCHIMP, "a lower bound that is open, declared closed", "windows", &[("lower = \"open\"", "lower = \"closed\"")]),
    wrong(&MAILCHIMP, "the id that is made of the address", "id_stays", &[("id = \"/contact_id\"", "id = \"/id\"")]),
    wrong(&MAILCHIMP, "pages in the other direction than declared", "edits", &[("sort_dir = \"ASC\"", "sort_dir = \"DESC\"")]),
    wrong(
        &MAILCHIMP,
        "the count of everything looked for elsewhere",
        "ties",
        &[("total = \"/total_items\"", "total = \"/total\"")],
    ),
    wrong(
        &MAILCHIMP,
        "403 without JSON read as a missing right",
        "throttles",
        &[(
            "when = { status = [403, 429], content_type_not = \"json\" }",
            "when = { status = 429, content_type_not = \"json\" }",
        )],
    ),
    wrong(&MAILCHIMP, "an archived member that counts as living", "deletes", &[("is = \"archived\"", "is = \"cleaned\"")]),
    wrong(
        &MAILCHIMP,
        "a double read as bad content",
        "doubles",
        &[("then = { class = \"duplicate\" }", "then = { class = \"rejected\" }")],
    ),
    wrong(
        &SALESFORCE,
        "a bound that leaves its own stamp out, declared closed",
        "windows",
        &[("SystemModstamp >= {from", "SystemModstamp > {from")],
    ),
    wrong(&SALESFORCE, "ids in the wrong direction inside a tie", "ties", &[("AND Id > {after_id", "AND Id < {after_id")]),
    wrong(&SALESFORCE, "another order than declared", "edits", &[("ORDER BY SystemModstamp ASC, Id ASC", "ORDER BY Id DESC")]),
    wrong(
        &SALESFORCE,
        "deleted records looked for among the living",
        "archive",
        &[("/services/data/v62.0/queryAll", "/services/data/v62.0/query")],
    ),
    wrong(
        &SALESFORCE,
        "an item's success looked for elsewhere",
        "values",
        &[("ok = { at = \"/success\", is = \"true\" }", "ok = { at = \"/ok\", is = \"true\" }")],
    ),
    wrong(&SALESFORCE, "an item's refusal read from the wrong place", "gone", &[("fault = \"/errors/0\"", "fault = \"\"")]),
    wrong(
        &ZOHO_BOOKS,
        "what says that another page follows looked for elsewhere",
        "ties",
        &[("more = \"/page_context/has_more_page\"", "more = \"/page_context/more\"")],
    ),
    wrong(&ZOHO_BOOKS, "pages counted from another number", "ties", &[("first = 1", "first = 0")]),
    wrong(&ZOHO_BOOKS, "newest first, declared by time", "edits", &[("sort_order = \"A\"", "sort_order = \"D\"")]),
    wrong(&ZOHO_BOOKS, "a colon in the offset of a time", "windows", &[("offset_digits(UTC)", "offset(UTC)")]),
    wrong(
        &ZOHO_BOOKS,
        "a code that is not 0 under 200 read as an answer",
        "no_page",
        &[("\"/code\" = { not = \"0\" }", "\"/code\" = \"9\"")],
    ),
    wrong(
        &ZOHO_CRM,
        "nothing new told by a status, read as an error",
        "windows",
        &[("empty_status = [204, 304]", "empty_status = [204]")],
    ),
    wrong(&ZOHO_CRM, "a bound without its offset", "windows", &[("{from|offset(UTC)}", "{from|naive(UTC)}")]),
    wrong(&ZOHO_CRM, "the newest first", "edits", &[("sort_order = \"asc\"", "sort_order = \"desc\"")]),
    wrong(&ZOHO_CRM, "ids in place of times", "edits", &[("sort_by = \"Modified_Time\"", "sort_by = \"id\"")]),
    wrong(&ZOHO_CRM, "the next page's token looked for elsewhere", "ties", &[("/info/next_page_token", "/info/page_token")]),
    wrong(&ZOHO_CRM, "a stamp without its offset", "stamps", &[("form = \"iso\"", "form = \"naive(UTC)\"")]),
    wrong(&ZOHO_CRM, "another language's quotes", "look_up", &[("{values|coql}", "{values|soql}")]),
    wrong(
        &ZOHO_CRM,
        "another scheme than the vendor's own",
        "credentials",
        &[("value = \"Zoho-oauthtoken {token}\"", "value = \"Bearer {token}\"")],
    ),
    wrong(
        &ZOHO_CRM,
        "a list of refusals read as a refusal without words",
        "gone",
        &[("\"/data/0/details/api_name\" = \"id\"", "\"/0/details/api_name\" = \"id\"")],
    ),
    wrong(
        &ZOHO_CRM,
        "a locked record read as bad content",
        "throttles",
        &[("\"RECORD_LOCKED\", \"INTERNAL_ERROR\"", "\"INTERNAL_ERROR\"")],
    ),
    wrong(
        &ZOHO_CRM,
        "an upsert that goes by e-mail",
        "upsert",
        &[("duplicate_check_fields = [\"{property}\"]", "duplicate_check_fields = [\"Email\"]")],
    ),
    wrong(&DATAVERSE, "an update that makes what was deleted", "gone", &[(", If-Match = \"*\"", "")]),
    wrong(
        &DATAVERSE,
        "an answer that leaves the row out",
        "values",
        &[("Prefer = \"return=representation\"", "Accept = \"*/*\"")],
    ),
    wrong(
        &DATAVERSE,
        "rules for duplicates that nobody asks for",
        "doubles",
        &[("SuppressDuplicateDetection\" = \"false\"", "SuppressDuplicateDetection\" = \"true\"")],
    ),
    wrong(&DATAVERSE, "the next link looked for elsewhere", "ties", &[("/@odata.nextLink", "/nextLink")]),
    wrong(&DATAVERSE, "the latest first", "edits", &[("modifiedon asc", "modifiedon desc")]),
    wrong(&DATAVERSE, "who was merged away counts as living", "merged", &[("at = \"/merged\"", "at = \"/statecode\"")]),
];

impl Wrong {
    /// What caught it; `Err` when nothing did.
    pub async fn is_caught(&self) -> Result<String, String> {
        let said = |what: &str| format!("{}, {}: {what}", self.vendor.connector, self.mistake);
        let case = case_named(self.caught_by).map_err(|error| said(&error.to_string()))?;
        match run(case, self.vendor, self.changes).await {
            Ok(verdict) => Err(said(&format!("`{}` says {verdict:?}", self.caught_by))),
            // A file that is refused when it is loaded proves nothing about the case.
            Err(error) if error.to_string() == super::UNUSABLE => Err(said(&format!("{error:?}"))),
            Err(error) => Ok(format!("{error:#}")),
        }
    }
}
