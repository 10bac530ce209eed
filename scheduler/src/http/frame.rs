//! The frame around every page: title, navigation, the mark in the tab, and the refresh.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use tidemark_core::Millis;

use super::verdict::Mood;
use super::words::{clock, when};

/// A page that shows living numbers: it refreshes itself every five seconds, with or without JavaScript.
pub(crate) struct Page<'a> {
    pub(crate) title: &'a str,
    /// The navigation entry it belongs to.
    pub(crate) place: &'a str,
    pub(crate) mood: Mood,
    pub(crate) now: Millis,
    /// Whether there is a session to leave.
    pub(crate) leavable: bool,
}

const PLACES: [(&str, &str); 5] =
    [("/", "Overview"), ("/debts", "Debts"), ("/conflicts", "Conflicts"), ("/callouts", "Callouts"), ("/acts", "Acts")];

impl Page<'_> {
    pub(crate) fn show(&self, body: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    (head(self.title, self.mood))
                    noscript { meta http-equiv="refresh" content="5"; }
                    script src="/refresh.js" defer {}
                }
                body {
                    a.skip href="#main" { "To the content" }
                    header.top {
                        a.brand href="/" { (wave()) "Tidemark" }
                        nav aria-label="Pages" {
                            @for (href, name) in PLACES { a href=(href) aria-current=[(href == self.place).then_some("page")] { (name) } }
                        }
                        p.clock {
                            span #live role="status" { "live" }
                            " · "
                            time #now title="The database's clock" { (clock(self.now)) " UTC" }
                        }
                        @if self.leavable { form method="post" action="/logout" { button.plain type="submit" { "Leave" } } }
                    }
                    main #main tabindex="-1" { (body) }
                }
            }
        }
    }
}

/// A page without navigation or refresh.
pub(crate) fn bare(title: &str, mood: Mood, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" { head { (head(title, mood)) } body { main #main { (body) } } }
    }
}

/// The same, tried again every five seconds: for a fault that passes.
pub(crate) fn retrying(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head { (head(title, Mood::Stopped)) meta http-equiv="refresh" content="5"; }
            body { main #main { (body) } }
        }
    }
}

fn head(title: &str, mood: Mood) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        title { (title) " · Tidemark" }
        link rel="icon" href=(icon(mood));
        link rel="stylesheet" href="/style.css";
    }
}

/// The mark in the tab carries the mood's colour and, for those who cannot tell colours apart, its shape.
fn icon(mood: Mood) -> String {
    let (colour, shape) = match mood.tone() {
        "alarm" => ("%23c5342b", "M8 3v6M8 12v1"),
        "watch" => ("%23a86a00", "M6 4v8M10 4v8"),
        "info" => ("%232a62a8", "M8 7v5M8 4v.5"),
        _ => ("%231d7a4c", "M4 8.5l3 3 5-6"),
    };
    format!(
        "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='4' fill='{colour}'/%3E\
         %3Cpath d='{shape}' stroke='white' stroke-width='2' fill='none' stroke-linecap='round'/%3E%3C/svg%3E"
    )
}

fn wave() -> Markup {
    html! {
        svg.wave viewBox="0 0 24 16" width="24" height="16" aria-hidden="true" {
            path d="M1 6c3-5 5-5 7.500 0s4.500 5 7.500 0 4.500-5 7 0" {}
            path.low d="M1 12c3-5 5-5 7.500 0s4.500 5 7.500 0 4.500-5 7 0" {}
        }
    }
}

/// A badge: colour, shape and word say the same thing.
pub(crate) fn badge(mood: Mood) -> Markup {
    html! { span class={ "badge tone-" (mood.tone()) } { (sign(mood.tone())) (mood.word()) } }
}

/// The shape of a tone.
pub(crate) fn sign(tone: &str) -> Markup {
    let path = match tone {
        "alarm" => "<path d='M8 3.500v5.500M8 12.200v.3'/>",
        "watch" => "<path d='M6 4.500v7M10 4.500v7'/>",
        "info" => "<path d='M8 7.500v4.500M8 4v.3'/>",
        _ => "<path d='M4 8.500l2.800 2.800L12 5.500'/>",
    };
    html! { svg.sign viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" { circle cx="8" cy="8" r="8" {} (PreEscaped(path)) } }
}

/// A button that changes something; it says on which thing, for those who only hear it.
pub(crate) fn act(href: &str, word: &str, thing: &str, back: &str, style: &str) -> Markup {
    html! {
        form.act method="post" action=(href) {
            input type="hidden" name="back" value=(back);
            button class=(style) type="submit" aria-label={ (word) " " (thing) } { (word) }
        }
    }
}

/// Pausing asks once more, and for a reason: what is paused at night is found by others in the morning.
pub(crate) fn pause(href: &str, thing: &str, back: &str) -> Markup {
    let id = format!("pause-{}", href.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"));
    html! {
        details.pause id=(id) {
            summary aria-label={ "Pause " (thing) } { "Pause" }
            form method="post" action=(href) {
                input type="hidden" name="back" value=(back);
                label for={ (id) "-why" } { "Why? Everybody sees it." }
                input id={ (id) "-why" } type="text" name="reason" maxlength="200" autocomplete="off";
                button type="submit" { "Pause " (thing) }
            }
        }
    }
}

/// A time that is known or not.
pub(crate) fn maybe_when(now: Millis, at: Option<Millis>, otherwise: &str) -> Markup {
    at.map_or_else(|| html! { span.quiet { (otherwise) } }, |at| when(now, at))
}
