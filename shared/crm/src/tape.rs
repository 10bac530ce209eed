//! Decides what is kept of a call that somebody wants to look at: its shape and its fault, without a secret and without anybody's data. Stores nothing, logs nothing.
//!
//! Names, structure, codes and ids of requests stand as they were sent; every value is replaced by its kind and length. What is not known to be harmless is a value:
//! that holds for broken and truncated JSON, for HTML and for bytes that are no text.

mod head;
mod json;
mod known;
mod marks;
mod walk;
mod words;

use reqwest::header::HeaderMap;
use tidemark_core::recording::{BODY_BYTES_MAX, Tape};

use known::Known;
use walk::Side;

tokio::task_local! {
    static RECORDED: ();
}

/// Records the calls that are made within. Without it nothing of a call is looked at, copied or kept.
pub async fn recorded<T>(send: impl Future<Output = T>) -> T {
    RECORDED.scope((), send).await
}

pub(crate) fn is_on() -> bool {
    RECORDED.try_with(|()| ()).is_ok()
}

/// A call as it was made, and as much of the answer as was heard.
pub(crate) struct Call<'a> {
    pub(crate) secrets: Vec<&'a str>,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Option<&'a [u8]>,
    pub(crate) answer: Option<Heard<'a>>,
}

#[derive(Clone, Copy)]
pub(crate) struct Heard<'a> {
    pub(crate) status: u16,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// The body was read to its end.
    pub(crate) whole: bool,
}

/// What is kept of it.
pub(crate) fn tape(call: &Call<'_>) -> Tape {
    let mut known = Known::new(&call.secrets);
    known.learn_query(call.path);
    let asked = Side::Request;
    let sent = call.body.unwrap_or_default();
    known.learn(sent, asked);
    let answer = call.answer.map(|heard| {
        let whole = serde_json::from_slice::<serde::de::IgnoredAny>(without_mark(heard.body)).is_ok();
        (heard, Side::Response { refused: heard.status >= 400, whole })
    });
    if let Some((heard, side)) = answer {
        known.learn(heard.body, side);
    }
    let mut request = format!("{} {}\n{}", call.method, head::path(&mut known, call.path), head::lines(&mut known, call.headers));
    if call.body.is_some() {
        request.push_str(&format!("\n{}\n", body(&mut known, sent, asked)));
    }
    let response = answer.map(|(heard, side)| {
        let mut said = format!("{}\n{}\n", heard.status, head::lines(&mut known, heard.headers));
        said.push_str(&body(&mut known, heard.body, side));
        if !heard.whole {
            said.push_str(&format!("\n… the body had not ended after {} bytes", heard.body.len()));
        }
        said
    });
    Tape { request, response }
}

fn body(known: &mut Known<'_>, bytes: &[u8], side: Side) -> String {
    let trimmed = without_mark(bytes).trim_ascii_start();
    match trimmed.first() {
        None => "no body".to_owned(),
        Some(b'{' | b'[') => json::redacted(known, bytes, side, BODY_BYTES_MAX),
        Some(_) => words::other(trimmed, bytes.len()),
    }
}

/// Some servers begin with a byte order mark.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

#[cfg(test)]
#[path = "tape_tests.rs"]
mod tests;
