//! Decides which addresses a connection may be given: no credentials in them, and nothing in the clear but to this machine or for practice.

use reqwest::Url;

use crate::http::ClientError;

pub(crate) fn check_base(text: &str, plain_http: bool) -> Result<Url, ClientError> {
    // Credentials in a URL end up in logs, so such a URL is not repeated either.
    let shown = if text.contains('@') { "…" } else { text };
    let fail = |what| ClientError::Base { url: shown.to_owned(), what };
    let base = Url::parse(text).map_err(|_| fail("is not a URL"))?;
    if !base.has_host() || !matches!(base.scheme(), "http" | "https") {
        return Err(fail("is not an http or https address"));
    }
    if !base.username().is_empty() || base.password().is_some() || base.query().is_some() || base.fragment().is_some() {
        return Err(fail("must not carry credentials, a query or a fragment"));
    }
    if base.scheme() == "http" && !plain_http && !is_loopback(&base) {
        return Err(fail("is not https: the token would cross the network in the clear"));
    }
    Ok(base)
}

pub(crate) fn is_loopback(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
