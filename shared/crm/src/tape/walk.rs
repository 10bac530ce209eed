//! Decides where things stand in what ought to be JSON: names, values, and what is neither. Reads any bytes to their end and trusts none: what cannot be understood is
//! told as broken, never passed on as a name.

/// Whose body it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Ours: the connector wrote it, and its names come from the mapping.
    Request,
    Response {
        /// Answered with 400 or above: an explanation, no records.
        refused: bool,
        /// It is JSON from its first to its last byte: only then a text is where it seems to be.
        whole: bool,
    },
}

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Its name, or that of the list it is in; in lower case and without `_` and `-`.
    pub(super) name: &'a str,
    pub(super) depth: usize,
    pub(super) side: Side,
    /// An item of a list, which has the name.
    pub(super) in_list: bool,
    /// Below a list or an object of that name.
    pub(super) in_errors: bool,
    /// Among a record's own values, whose names say nothing of what they hold.
    pub(super) in_record: bool,
}

impl Place<'_> {
    /// It explains why something was refused.
    pub(super) fn explains(&self) -> bool {
        !self.in_record && (self.in_errors || matches!(self.side, Side::Response { refused: true, .. }))
    }

    pub(super) fn is_sure(&self) -> bool {
        matches!(self.side, Side::Response { whole: true, .. })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar<'a> {
    Text(&'a str),
    Number(&'a str),
    /// `true`, `false`, `null`.
    Word(&'static str),
    /// So many bytes that are no JSON.
    Broken(usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Event<'a> {
    Open { list: bool },
    Close { list: bool },
    Comma,
    Name(&'a str),
    Scalar(Place<'a>, Scalar<'a>),
}

struct Frame {
    list: bool,
    name: String,
    in_errors: bool,
    in_record: bool,
}

/// What vendors call an object that holds a record's values.
const RECORDS: [&str; 4] = ["properties", "fields", "attributes", "record"];

/// Tells each thing in order, until `tell` says that it has heard enough.
pub(super) fn walk(bytes: &[u8], side: Side, tell: &mut dyn FnMut(Event<'_>) -> bool) {
    let mut frames: Vec<Frame> = Vec::new();
    let mut pending: Option<String> = None;
    let mut at = 0;
    while at < bytes.len() {
        let go_on = match bytes[at] {
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            byte @ (b'{' | b'[') => {
                at += 1;
                let list = byte == b'[';
                let above = frames.last();
                let name = pending.take().unwrap_or_else(|| above.map(|frame| frame.name.clone()).unwrap_or_default());
                let in_errors = above.is_some_and(|frame| frame.in_errors) || matches!(name.as_str(), "errors" | "error");
                let record = !list && RECORDS.contains(&name.as_str());
                let in_record = record || above.is_some_and(|frame| frame.in_record);
                frames.push(Frame { list, name, in_errors, in_record });
                tell(Event::Open { list })
            }
            byte @ (b'}' | b']') => {
                at += 1;
                frames.pop();
                pending = None;
                tell(Event::Close { list: byte == b']' })
            }
            b',' => {
                at += 1;
                pending = None;
                tell(Event::Comma)
            }
            b'"' => {
                let end = end_of_text(bytes, at);
                let text = decoded(&bytes[at..end]);
                at = end;
                let colon =
                    bytes[at..].iter().position(|byte| !byte.is_ascii_whitespace()).filter(|skip| bytes[at + skip] == b':');
                match colon.filter(|_| pending.is_none() && frames.last().is_none_or(|frame| !frame.list)) {
                    Some(skip) => {
                        at += skip + 1;
                        pending = Some(plain_name(&text));
                        tell(Event::Name(&text))
                    }
                    None => scalar(&frames, &mut pending, side, Scalar::Text(&text), tell),
                }
            }
            _ => {
                let end = end_of_bare(bytes, at);
                let bare = std::str::from_utf8(&bytes[at..end]).unwrap_or_default();
                let said = match bare {
                    "true" => Scalar::Word("true"),
                    "false" => Scalar::Word("false"),
                    "null" => Scalar::Word("null"),
                    bare if is_number(bare) => Scalar::Number(bare),
                    _ => Scalar::Broken(end - at),
                };
                at = end;
                scalar(&frames, &mut pending, side, said, tell)
            }
        };
        if !go_on {
            return;
        }
    }
}

fn scalar(
    frames: &[Frame],
    pending: &mut Option<String>,
    side: Side,
    said: Scalar<'_>,
    tell: &mut dyn FnMut(Event<'_>) -> bool,
) -> bool {
    let above = frames.last();
    let own = pending.take();
    let name = own.as_deref().or_else(|| Some(above.filter(|frame| frame.list)?.name.as_str())).unwrap_or_default();
    let place = Place {
        name,
        depth: frames.len(),
        side,
        in_list: above.is_some_and(|frame| frame.list),
        in_errors: above.is_some_and(|frame| frame.in_errors),
        in_record: above.is_some_and(|frame| frame.in_record),
    };
    tell(Event::Scalar(place, said))
}

/// `request_id`, `requestId` and `RequestID` are one name.
pub(super) fn plain_name(name: &str) -> String {
    name.chars().filter(|letter| !matches!(letter, '_' | '-')).flat_map(char::to_lowercase).take(80).collect()
}

/// Behind the closing quote, or the end of the bytes.
fn end_of_text(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn decoded(quoted: &[u8]) -> String {
    serde_json::from_slice(quoted).unwrap_or_else(|_| {
        let inner = quoted.strip_prefix(b"\"").unwrap_or(quoted);
        String::from_utf8_lossy(inner.strip_suffix(b"\"").unwrap_or(inner)).into_owned()
    })
}

/// What no quote begins reaches to the next sign of JSON; an escaped quote in it begins nothing.
fn end_of_bare(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'{' | b'}' | b'[' | b']' | b',' | b'"' | b'\n' | b'\r' => break,
            _ => at += 1,
        }
    }
    let end = at.min(bytes.len());
    let blank = bytes[from..end].iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
    (end - blank).max(from + 1)
}

fn is_number(bare: &str) -> bool {
    let signs = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    bare.bytes().all(signs) && bare.parse::<f64>().is_ok()
}
