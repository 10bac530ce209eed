//! Decides who may ask, and what a browser may do with the answer.
//!
//! Without a token: this machine only, under a loopback name (a page elsewhere that points its own name at 127.0.0.1 is refused). With one: whoever knows it.
//! Nothing is changed on behalf of another site's page.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::words::part;
use super::{Shared, trouble};

/// What the token comes down to: digests, compared in constant time.
pub(crate) struct Key {
    token: [u8; 32],
    session: String,
}

pub(crate) const COOKIE: &str = "tidemark_session";

impl Key {
    pub(crate) fn new(token: &SecretString) -> Self {
        let digest = |purpose: &str| Sha256::new().chain_update(purpose).chain_update(token.expose_secret()).finalize();
        let session = digest("tidemark dashboard session\0").iter().map(|byte| format!("{byte:02x}")).collect();
        Self { token: digest("").into(), session }
    }

    pub(crate) fn opens(&self, token: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(token).into();
        self.token.ct_eq(&digest).into()
    }

    /// The cookie's value: a digest, from which the token cannot be had.
    pub(crate) fn session(&self) -> &str {
        &self.session
    }

    fn is_session(&self, value: &str) -> bool {
        self.session.as_bytes().ct_eq(value.as_bytes()).into()
    }
}

/// What the decision looks at.
pub(crate) struct Ask<'a> {
    pub(crate) peer: IpAddr,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Serve,
    /// Has to show the token first.
    Unknown,
    Refuse(&'static str),
}

/// Whether to serve `ask`.
pub(crate) fn decide(ask: &Ask<'_>, key: Option<&Key>) -> Answer {
    // Whoever gives a hint proves who they are by a signature or a key of their own.
    if matches!(ask.path, "/healthz" | "/readyz") || ask.path.starts_with("/hooks/") {
        return Answer::Serve;
    }
    let host = text(ask.headers, header::HOST.as_str());
    if !ask.method.is_safe() && !same_origin(ask.headers, host) {
        return Answer::Refuse("The request comes from a page of another site. Open the dashboard itself and act there.");
    }
    let Some(key) = key else {
        if !is_local(ask.peer) {
            return Answer::Refuse("Without `server.token` only this machine is served.");
        }
        return match host {
            Some(host) if is_local_name(host) => Answer::Serve,
            _ => Answer::Refuse("Without `server.token` the dashboard answers to localhost, 127.0.0.1 and [::1] only."),
        };
    };
    if matches!(ask.path, "/login" | "/style.css" | "/refresh.js") {
        return Answer::Serve;
    }
    let bearer = text(ask.headers, header::AUTHORIZATION.as_str()).and_then(|value| value.split_once(' '));
    if bearer.is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && key.opens(token.trim())) {
        return Answer::Serve;
    }
    let cookies = ask.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    if pairs.any(|(name, value)| name == COOKIE && key.is_session(value)) { Answer::Serve } else { Answer::Unknown }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A browser tells where a request comes from; a request that tells nothing comes from a program, which another site's page cannot steer.
fn same_origin(headers: &HeaderMap, host: Option<&str>) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    match headers.get(header::ORIGIN) {
        None => true,
        Some(origin) => {
            let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
            authority.is_some() && authority == host
        }
    }
}

pub(crate) fn is_local(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_local)
}

pub(crate) async fn check(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let ask = Ask { peer: peer.ip(), method: request.method(), path: request.uri().path(), headers: request.headers() };
    match decide(&ask, shared.key.as_ref()) {
        Answer::Serve => next.run(request).await,
        Answer::Refuse(why) => trouble::refused(why, wants_page(&request)),
        Answer::Unknown if wants_page(&request) && request.method() == Method::GET => {
            let place = request.uri().path_and_query().map_or("/", |place| place.as_str());
            Redirect::to(&format!("/login?next={}", part(place))).into_response()
        }
        Answer::Unknown => {
            let words = "Show the token of `server.token`: `Authorization: Bearer …`.\n";
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer realm=\"tidemark\"")], words).into_response()
        }
    }
}

fn wants_page(request: &Request) -> bool {
    !request.uri().path().starts_with("/api/")
        && text(request.headers(), header::ACCEPT.as_str()).is_some_and(|accept| accept.contains("text/html"))
}

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; \
    frame-ancestors 'none'; base-uri 'none'";

/// Nothing from other hosts, nothing kept in caches, nothing framed, no address told to others.
pub(crate) async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
