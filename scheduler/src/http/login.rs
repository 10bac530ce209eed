//! Lets a person in: the token, typed once, becomes a cookie that scripts cannot read and other sites cannot send.

use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::guard::COOKIE;
use super::verdict::Mood;
use super::{App, Shared, frame};

/// Wrong tokens wait in one line, so that guessing is slow however many guess.
#[derive(Default)]
pub(crate) struct Pace(Mutex<()>);

#[derive(Deserialize)]
pub(crate) struct Place {
    #[serde(default)]
    next: String,
}

pub(crate) async fn form(State(shared): App, Query(place): Query<Place>) -> Response {
    page(&shared, &place.next, None).into_response()
}

#[derive(Deserialize)]
pub(crate) struct Entry {
    token: String,
    #[serde(default)]
    next: String,
}

pub(crate) async fn enter(State(shared): App, headers: HeaderMap, Form(entry): Form<Entry>) -> Response {
    let Some(key) = &shared.key else { return Redirect::to("/").into_response() };
    if !key.opens(entry.token.trim()) {
        let _turn = shared.login_pace.0.lock().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        return (
            StatusCode::UNAUTHORIZED,
            page(&shared, &entry.next, Some("This is not the token. It is the value of server.token.")),
        )
            .into_response();
    }
    // A proxy that ends TLS says so; then the cookie never travels in the clear.
    let secure = if headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https") { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800{secure}", key.session());
    (StatusCode::SEE_OTHER, [(header::SET_COOKIE, cookie), (header::LOCATION, local(&entry.next).to_owned())]).into_response()
}

pub(crate) async fn leave() -> Response {
    let cookie = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    (StatusCode::SEE_OTHER, [(header::SET_COOKIE, cookie), (header::LOCATION, "/login".to_owned())]).into_response()
}

/// A path of this server, or `/`: nobody is sent elsewhere by a crafted link.
pub(crate) fn local(place: &str) -> &str {
    let is_path = place.starts_with('/') && !place.starts_with("//") && !place.contains('\\');
    if is_path && place.chars().all(|letter| letter.is_ascii_graphic()) { place } else { "/" }
}

fn page(shared: &Arc<Shared>, next: &str, trouble: Option<&str>) -> maud::Markup {
    let body = html! {
        section.login {
            h1 { "Tidemark" }
            @if shared.key.is_some() {
                form method="post" action="/login" {
                    input type="hidden" name="next" value=(local(next));
                    label for="token" { "Token" }
                    input #token type="password" name="token" autocomplete="current-password" required autofocus
                        aria-describedby=[trouble.map(|_| "trouble")];
                    @if let Some(words) = trouble { p #trouble.tone-alarm role="alert" { (words) } }
                    button.primary type="submit" { "Enter" }
                }
                p.quiet { "The token is the value of " code { "server.token" } " in the configuration." }
            } @else {
                p { "No token is configured: this machine is served without one." }
                p { a href="/" { "To the dashboard" } }
            }
        }
    };
    frame::bare("Enter", Mood::Plan, &body)
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for place in
            ["//evil.example", "https://evil.example", "/\\evil.example", "", "javascript:alert(1)", "/a\r\nSet-Cookie: x"]
        {
            assert_eq!(local(place), "/", "{place}");
        }
        assert_eq!(local("/debts?state=parked"), "/debts?state=parked");
    }
}
