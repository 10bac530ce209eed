//! Decides by name and by look what may stand as it is, and what a value is replaced by: its kind and its length. Knows nothing of the call.

/// Ids of a request, by which a vendor's support finds it.
pub(super) const REQUEST_IDS: [&str; 9] = [
    "correlationid",
    "requestid",
    "traceid",
    "objectwritetraceid",
    "logref",
    "errorid",
    "incidentid",
    "instanceid",
    "xrequestid",
];
/// What a fault is called.
pub(super) const CODES: [&str; 9] =
    ["category", "subcategory", "code", "errorcode", "errortype", "policyname", "status", "statuscode", "type"];
/// What a vendor says of a fault.
pub(super) const WORDS: [&str; 10] =
    ["message", "error", "errordescription", "errorinfo", "detail", "details", "reason", "title", "description", "messages"];
/// Lists of properties in a request.
pub(super) const NAMES: [&str; 3] = ["properties", "propertieswithhistory", "fields"];
/// Where a request names a single one, and how it is compared or ordered by.
pub(super) const NAMING: [&str; 5] = ["propertyname", "idproperty", "operator", "direction", "groupname"];
/// Where a fault names them: they stand if the request or the answer has that name elsewhere.
pub(super) const NAMED: [&str; 6] = ["propertyname", "propertynames", "property", "field", "fields", "in"];
/// What is counted.
const COUNTS: [&str; 10] = ["total", "limit", "count", "size", "offset", "status", "statuscode", "code", "perpage", "numerrors"];
/// Codes without an underscore; a name in capitals is none of them.
const SHORT_CODES: [&str; 16] = [
    "CONFLICT",
    "DAILY",
    "SECONDLY",
    "ERROR",
    "COMPLETE",
    "COMPLETED",
    "PENDING",
    "CANCELED",
    "PROCESSING",
    "FAILED",
    "SUCCESS",
    "FORBIDDEN",
    "UNAUTHORIZED",
    "error",
    "success",
    "failed",
];
const SECRET: [&str; 11] = [
    "token",
    "secret",
    "password",
    "passwd",
    "authorization",
    "apikey",
    "hapikey",
    "cookie",
    "signature",
    "credential",
    "session",
];

/// A value under this name opens a door. In lower case, without `_` and `-`.
pub(super) fn is_secret_name(name: &str) -> bool {
    SECRET.iter().any(|part| name.contains(part))
}

/// It looks like the name of a property or a member, and not like anybody's e-mail address or number.
pub(super) fn is_name(text: &str) -> bool {
    let mut letters = text.strip_prefix(['@', '$']).unwrap_or(text).chars();
    let first = letters.next().is_some_and(|letter| letter.is_ascii_alphabetic() || letter == '_');
    first
        && text.len() <= 80
        && letters.all(|letter| letter.is_ascii_alphanumeric() || "_.:$-".contains(letter))
        && !has_digits(text, 5)
}

/// So many digits in a row.
pub(super) fn has_digits(text: &str, many: usize) -> bool {
    text.as_bytes().windows(many).any(|part| part.iter().all(u8::is_ascii_digit))
}

/// Machine-made: long, with letters and digits; digits alone may be a telephone number, which has 15 at most.
pub(super) fn is_request_id(text: &str) -> bool {
    let signs = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=:;./+".contains(&byte);
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let letters = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    (8..=128).contains(&text.len()) && text.bytes().all(signs) && digits > 1 && (letters || text.len() > 24)
}

pub(super) fn is_code(text: &str) -> bool {
    let capitals = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let long = text.len() <= 64 && text.contains('_') && text.bytes().all(capitals) && !has_digits(text, 5);
    long || SHORT_CODES.contains(&text)
}

/// A count that is told: so short that it is nobody's number.
pub(super) fn is_count(name: &str, text: &str) -> bool {
    COUNTS.contains(&name) && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `‹e-mail 13 #2›`: what the value is, its characters, and which other ones it equals.
pub(super) fn mark(text: &str, number: Option<u32>) -> String {
    let mut said = format!("{} {}", kind(text), text.chars().count());
    for (is_so, what) in [
        (!text.is_ascii(), "not ASCII"),
        (text.trim().len() < text.len(), "blank around"),
        (text.contains(['\n', '\r']), "line break"),
    ] {
        if is_so {
            said.push_str(", ");
            said.push_str(what);
        }
    }
    number.map_or_else(|| format!("‹{said}›"), |number| format!("‹{said} #{number}›"))
}

fn kind(text: &str) -> &'static str {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let date = |text: &str| {
        let parts: Vec<&str> = text.split('-').collect();
        parts.len() == 3 && parts.iter().all(|part| digits(part)) && parts[0].len() == 4 && text.len() == 10
    };
    match text {
        _ if digits(text) => "digits",
        _ if date(text) => "date",
        _ if text.get(..10).is_some_and(date) && text.get(10..11).is_some_and(|sign| sign == "T" || sign == " ") => "time",
        _ if text.parse::<f64>().is_ok() => "number",
        _ if text.starts_with("http://") || text.starts_with("https://") => "address",
        _ if text.split_once('@').is_some_and(|(_, domain)| domain.contains('.')) && !text.contains(' ') => "e-mail",
        _ => "text",
    }
}
