//! Decides what a file says about reading pages of an object, or of its deletes, and refuses what contradicts itself. Which page is asked for next the core decides from it.

use std::time::Duration;

use reqwest::Method;
use tidemark_core::source::{Order, Paging};

use super::findings::{At, Findings};
use super::hole::Source;
use super::more::More;
use super::node::{Fields, Node};
use super::page::Page;
use super::place::Place;
use super::request::{Form, Overlay};
use super::shape::{Modified, Shape, place};
use super::template::Scope;

/// What a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    Records,
    /// Ids of records that are gone, with the time.
    Deletes,
}

impl Listed {
    fn holes(self) -> &'static [&'static str] {
        match self {
            Self::Records => &["from", "until", "fields", "rows_max"],
            Self::Deletes => &["from", "until", "rows_max"],
        }
    }

    fn kinds(self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::Records => &KINDS,
            Self::Deletes => &FEEDS,
        }
    }
}

/// How pages of an object are asked for and recognised.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) order: Order,
    pub(super) lower_open: bool,
    pub(super) upper: Upper,
    /// The first page of a query, and those after it.
    pub(super) first: Form,
    pub(super) after: Form,
    pub(super) rows: Rows,
    pub(super) page: Page,
    pub(super) total: Option<Place>,
    /// Says that there is more.
    pub(super) more: Option<More>,
    pub(super) rows_max: u16,
    pub(super) result_cap: Option<u32>,
    pub(super) token_life_secs: Option<u32>,
}

/// What the vendor does with the stamp that is the upper bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upper {
    /// It is left out.
    Open,
    /// It belongs to the answer.
    Closed,
    /// There is no such bound.
    None,
}

/// Where an answer's rows stand.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub(super) at: Place,
    /// Inside each element.
    pub(super) row: Place,
    /// One row stands there in place of a list.
    pub(super) one: bool,
    /// Statuses that say "nothing", without a body.
    pub(super) empty_status: Vec<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Window,
    Keyset,
    Sweep,
    /// Spoken of elsewhere.
    Delta,
}

const KINDS: [(&str, Kind); 3] = [("window", Kind::Window), ("keyset", Kind::Keyset), ("sweep", Kind::Sweep)];
const FEEDS: [(&str, Kind); 4] =
    [("window", Kind::Window), ("keyset", Kind::Keyset), ("sweep", Kind::Sweep), ("delta", Kind::Delta)];
const ORDERS: [(&str, Order); 4] =
    [("time_id", Order::TimeThenId), ("id", Order::IdOnly), ("time", Order::TimeOnly), ("none", Order::None)];
const LOWERS: [(&str, bool); 3] = [("closed", false), ("open", true), ("unknown", true)];
const UPPERS: [(&str, Upper); 3] = [("open", Upper::Open), ("closed", Upper::Closed), ("none", Upper::None)];

impl Rows {
    /// Reads `rows`, `row`, `one` and `empty_status`.
    pub(super) fn read(fields: &mut Fields<'_>, findings: &Findings) -> Option<Self> {
        let at = fields
            .need("rows", "Write where the list of rows stands, such as rows = \"/data\"; \"\" where the answer is the list.");
        let at = at.and_then(|node| place(node, findings));
        let row = fields.get("row").and_then(|node| place(node, findings)).unwrap_or(Place::WHOLE);
        let one = fields.flag("one").unwrap_or(false);
        let statuses = fields.get("empty_status").and_then(|node| Some((node, node.list(findings)?)));
        let status = |node: &Node| {
            let status = node
                .to_json()
                .as_u64()
                .and_then(|status| u16::try_from(status).ok())
                .filter(|status| (200..500).contains(status));
            if status.is_none() {
                findings.add(&node.at, "this is no status that could mean `nothing`.", "Write statuses such as 204, 304 or 404.");
            }
            status
        };
        let empty_status = statuses.map(|(_, list)| list.iter().filter_map(status).collect()).unwrap_or_default();
        Some(Self { at: at?, row, one, empty_status })
    }
}

impl Reading {
    pub(super) fn read(node: &Node, shape: Option<&Shape>, scope: &Scope<'_>, findings: &Findings) -> Option<Self> {
        Self::of(Fields::of(node, findings), shape.map(|shape| shape.modified.as_ref()), Listed::Records, scope, findings)
    }

    /// Of the keys of a table that nobody took yet.
    pub(super) fn of(
        mut fields: Fields<'_>,
        modified: Option<Option<&Modified>>,
        listed: Listed,
        scope: &Scope<'_>,
        findings: &Findings,
    ) -> Option<Self> {
        let at = fields.at;
        if fields.get("kind").is_none() {
            findings.add(at, "`kind` is missing.", "Write kind = \"window\", \"keyset\" or \"sweep\".");
        }
        let kind = fields.word("kind", listed.kinds());
        let order = fields.word("order", &ORDERS);
        let page_node = fields.need("page", "Write how a query goes on, such as page = { kind = \"none\" }.");
        let page = page_node.and_then(|node| Page::read(node, findings));
        let plain = listed.holes();
        let first_scope = Scope { plain, ..scope.clone() };
        let behind: Vec<&str> = plain.iter().copied().chain(page.as_ref().map_or(&[][..], Page::holes).iter().copied()).collect();
        let base = Form::read(&mut fields, &Method::GET, &first_scope, findings);
        let first = fields.get("first").map(|node| Overlay::read(node, &first_scope, findings)).unwrap_or_default();
        let after = fields.get("after").map(|node| Overlay::read(node, &Scope { plain: &behind, ..scope.clone() }, findings));
        let rows = Rows::read(&mut fields, findings);
        let lower_open = fields.word("lower", &LOWERS);
        let upper = fields.word("upper", &UPPERS);
        let total = fields.get("total").and_then(|node| place(node, findings));
        let more = More::read(&mut fields, findings);
        let rows_max = fields.need("rows_max", "Write how many rows a page may hold.");
        let rows_max = rows_max.and_then(|_| fields.number("rows_max", 1, 10_000)).and_then(|rows| u16::try_from(rows).ok());
        let (result_cap, token_life_secs) =
            (fields.number("result_cap", 1, u32::MAX), fields.number("token_life_secs", 1, u32::MAX));
        fields.end();
        let (base, page, kind) = (base?, page?, kind?);
        let order = order.unwrap_or(Order::None);
        let reading = Self {
            order,
            lower_open: lower_open.unwrap_or(false),
            upper: upper.unwrap_or(Upper::None),
            first: base.with(&first, findings),
            after: base.with(&after.unwrap_or_default(), findings),
            rows: rows?,
            page,
            total,
            more,
            rows_max: rows_max?,
            result_cap,
            token_life_secs,
        };
        let told = Told { listed, kind, lower: lower_open.is_some(), upper: upper.is_some() };
        reading.check(told, at, modified, findings);
        Some(reading)
    }

    pub(super) fn token_life(&self) -> Option<Duration> {
        self.token_life_secs.map(|secs| Duration::from_secs(u64::from(secs)))
    }

    pub(super) fn paging(&self) -> Paging {
        match self.page {
            Page::Keyset | Page::None => Paging::Queries,
            Page::Token { .. } | Page::NextUrl { .. } | Page::LinkHeader => Paging::Tokens,
            Page::Number { .. } | Page::Offset if self.total.is_some() => Paging::Numbers,
            Page::Number { .. } | Page::Offset => Paging::Uncounted,
        }
    }

    /// What contradicts itself, or would lose rows.
    fn check(&self, told: Told, at: &At, modified: Option<Option<&Modified>>, findings: &Findings) {
        let refuse = |problem: &str, remedy: &str| findings.add(at, problem, remedy);
        let keyed = matches!(self.order, Order::TimeThenId | Order::IdOnly);
        // Tokens of the vendor's that stand for an id.
        let by_token = self.order == Order::IdOnly && self.paging() == Paging::Tokens;
        match told.kind {
            Kind::Sweep if told.listed == Listed::Deletes => {
                refuse(
                    "deletes are read from a time on, behind every window.",
                    "Write kind = \"window\", and use {from}; or take `deletes` out.",
                );
            }
            Kind::Keyset if !keyed => {
                refuse(
                    "a keyset goes on behind a key, and this order has none.",
                    "Write order = \"time_id\" or \"id\", or kind = \"window\".",
                );
            }
            Kind::Keyset if self.page != Page::Keyset => {
                refuse("a keyset is a query of its own for each page.", "Write page = { kind = \"keyset\" }.");
            }
            Kind::Window if by_token => {}
            Kind::Window | Kind::Sweep if keyed => {
                refuse(
                    "this order is read behind a key, and kind says otherwise.",
                    "Write kind = \"keyset\", or order = \"time\" or \"none\"; order = \"id\" also goes with a token.",
                );
            }
            Kind::Window | Kind::Sweep if self.page == Page::Keyset => {
                refuse("pages behind a key belong to a keyset.", "Write kind = \"keyset\", or another kind of page.");
            }
            _ => {}
        }
        if told.kind == Kind::Sweep {
            if self.order != Order::None || told.lower || told.upper || self.first.uses(&Source::From) {
                refuse(
                    "a sweep reads everything: it has no bounds and no order by time.",
                    "Take order, lower, upper and {from} out, or write kind = \"window\".",
                );
            }
        } else {
            self.check_bounds(told, at, modified, findings);
        }
        if self.order == Order::TimeOnly && self.paging() == Paging::Queries {
            let problem = "rows that share one stamp and fill a page could not be read to their end.";
            refuse(problem, "Say with `page` how a query goes on: token, next_url, link_header, number or offset.");
        }
        if self.paging() == Paging::Uncounted && self.more.is_none() {
            let problem =
                "numbered pages are read to the last and back, and nothing says how many there are or that there is another.";
            let remedy = "Write where the count stands, such as total = \"/total\", or what says that there is more, such as more = \"/has_more\"; where no answer says either, end = \"empty_page\".";
            refuse(problem, remedy);
        }
        if self.paging() != Paging::Uncounted && self.more.as_ref().is_some_and(More::goes_by_rows) {
            refuse("`end` is for pages by number or offset that nobody counts.", "Take it out.");
        }
        if let Some(cap) = self.result_cap {
            self.check_cap(cap, told.kind, &refuse);
        }
        if self.token_life_secs.is_some() && self.paging() != Paging::Tokens {
            refuse("no token is used that could grow old.", "Take token_life_secs out.");
        }
        for need in self.after_needs().iter().filter(|need| !self.after.uses(need)) {
            let problem = format!("{{{}}} is never used: the same page would come for ever.", need.name());
            findings.add(at, problem, "Use it in `after`.");
        }
        if self.first.uses(&Source::RowsMax) || self.page == Page::None {
            return;
        }
        let problem = "{rows_max} is never used: the vendor's own page size would look like the end.";
        refuse(problem, "Send it as the page size, such as query = { limit = \"{rows_max}\" }.");
    }

    /// A window is halved where the count is above the cap, and only what is asked by bounds can be.
    fn check_cap(&self, cap: u32, kind: Kind, refuse: &dyn Fn(&str, &str)) {
        let out = "Take result_cap out.";
        if self.page == Page::Keyset {
            refuse("each page of a keyset is a query of its own: nothing comes of result_cap.", out);
        } else if kind == Kind::Sweep {
            refuse("a sweep has no bounds that could be drawn closer until a query reaches all of it.", out);
        } else if self.upper == Upper::None {
            refuse(
                "without an upper bound the count holds all that came later, too, and no window is small enough for a cap.",
                out,
            );
        } else if self.total.is_none() {
            refuse(
                "where nobody counts, a cap looks like the end.",
                "Write where the count stands, such as total = \"/total\", or take result_cap out.",
            );
        }
        if u32::from(self.rows_max) > cap {
            refuse(
                "a page cannot hold more than its query gives: `rows_max` is above `result_cap`.",
                "Write a smaller rows_max, or the cap that is true.",
            );
        }
    }

    fn check_bounds(&self, told: Told, at: &At, modified: Option<Option<&Modified>>, findings: &Findings) {
        let refuse = |problem: &str, remedy: &str| findings.add(at, problem, remedy);
        if matches!(modified, Some(None)) {
            refuse(
                "a window goes by stamps, and the object declares none.",
                "Write `modified` at the object, or kind = \"sweep\".",
            );
        }
        if !told.lower {
            refuse(
                "`lower` is missing: whether a stamp equal to the bound belongs to the answer decides what is lost.",
                "Write lower = \"closed\", \"open\" or \"unknown\".",
            );
        }
        if !told.upper {
            refuse("`upper` is missing.", "Write upper = \"open\", \"closed\" or \"none\".");
        }
        if !self.first.uses(&Source::From) {
            refuse(
                "{from} is never used: every page would begin at the beginning.",
                "Use it where the vendor takes the lower bound.",
            );
        }
        let bounded = self.first.uses(&Source::Until);
        if told.upper && bounded != (self.upper != Upper::None) {
            refuse(
                "`upper` and {until} contradict each other.",
                "Use {until} with upper = \"open\" or \"closed\", and not with \"none\".",
            );
        }
        // Of deletes there are few, and whoever is told again is read again.
        if self.upper == Upper::None && self.order != Order::TimeOnly && told.listed == Listed::Records {
            let problem = "without an upper bound the window is not closed, and this order cannot tell where it ends.";
            refuse(problem, "Write order = \"time\", or use {until}.");
        }
        let step = modified.flatten().map(|modified| i64::from(modified.precision_ms));
        let coarse = |form: &Form| {
            form.holes().filter_map(|hole| hole.written()).any(|written| step.is_some_and(|step| written.step() > step))
        };
        if coarse(&self.first) || coarse(&self.after) {
            refuse(
                "a bound is written in a coarser form than the stamps have: rows between two steps would be lost.",
                "Use |rfc3339 or |millis, or declare the coarser precision.",
            );
        }
    }

    fn after_needs(&self) -> &'static [Source] {
        match (&self.page, self.order) {
            (Page::Keyset, Order::TimeThenId) => &[Source::AfterTime, Source::AfterId],
            (Page::Keyset, _) => &[Source::AfterId],
            (Page::Token { .. }, _) => &[Source::Token],
            (Page::Number { .. }, _) => &[Source::Page],
            (Page::Offset, _) => &[Source::Offset],
            (Page::NextUrl { .. } | Page::LinkHeader | Page::None, _) => &[],
        }
    }
}

/// What was written, and not only supplied.
#[derive(Clone, Copy)]
struct Told {
    listed: Listed,
    kind: Kind,
    lower: bool,
    upper: bool,
}
