//! Decides how a body of JSON is shown: one thing a line, lists with their number of items, values as marks, cut where it grows too long. Broken JSON is shown as far as
//! it is understood.

use super::known::{Known, Role, role};
use super::marks::{self, mark};
use super::walk::{Event, Place, Scalar, Side, walk};
use super::words;

/// Deeper is not told apart by eye.
const INDENT_MAX: usize = 24;

pub(super) fn redacted(known: &mut Known<'_>, bytes: &[u8], side: Side, bytes_max: usize) -> String {
    let items = items(bytes, side);
    let mut page = Page { text: String::new(), depth: 0, lists: 0, fresh: true, opened: false };
    let mut cut = false;
    walk(bytes, side, &mut |event| {
        page.say(known, event, &items);
        cut = page.text.len() > bytes_max;
        !cut
    });
    if !cut {
        return page.text;
    }
    let end = (0..=bytes_max).rev().find(|at| page.text.is_char_boundary(*at)).unwrap_or(0);
    page.text.truncate(end);
    format!("{}\n… cut here after {} KiB; the body has {} bytes", page.text, bytes_max >> 10, bytes.len())
}

/// How many items each list has, in the order in which lists begin.
fn items(bytes: &[u8], side: Side) -> Vec<usize> {
    let (mut counts, mut open): (Vec<usize>, Vec<Option<usize>>) = (Vec::new(), Vec::new());
    walk(bytes, side, &mut |event| {
        if let (Event::Open { .. } | Event::Scalar(..), Some(Some(list))) = (&event, open.last()) {
            counts[*list] += 1;
        }
        match event {
            Event::Open { list } => {
                open.push(list.then_some(counts.len()));
                if list {
                    counts.push(0);
                }
            }
            Event::Close { .. } => {
                open.pop();
            }
            _ => {}
        }
        true
    });
    counts
}

struct Page {
    text: String,
    depth: usize,
    /// Lists that have begun.
    lists: usize,
    /// The next thing stands on a line of its own.
    fresh: bool,
    /// Nothing stands yet in what was opened last.
    opened: bool,
}

impl Page {
    fn say(&mut self, known: &mut Known<'_>, event: Event<'_>, items: &[usize]) {
        match event {
            Event::Open { list } => {
                self.start_item();
                self.text.push(if list { '[' } else { '{' });
                if list {
                    if let Some(many) = items.get(self.lists).filter(|many| **many > 1) {
                        self.text.push_str(&format!(" ‹{many} items›"));
                    }
                    self.lists += 1;
                }
                self.depth += 1;
                (self.fresh, self.opened) = (true, true);
            }
            Event::Close { list } => {
                self.depth = self.depth.saturating_sub(1);
                if !self.opened {
                    self.line();
                }
                self.text.push(if list { ']' } else { '}' });
                (self.fresh, self.opened) = (false, false);
            }
            Event::Comma => {
                self.text.push(',');
                (self.fresh, self.opened) = (true, false);
            }
            Event::Name(name) => {
                self.start_item();
                let kept = marks::is_name(name) && known.is_safe(name);
                let name = if kept { format!("\"{name}\"") } else { mark(name, None) };
                self.text.push_str(&name);
                self.text.push_str(": ");
            }
            Event::Scalar(place, scalar) => {
                self.start_item();
                let said = said(known, place, scalar);
                self.text.push_str(&said);
            }
        }
    }

    fn start_item(&mut self) {
        if self.fresh && !self.text.is_empty() {
            self.line();
        }
        (self.fresh, self.opened) = (false, false);
    }

    fn line(&mut self) {
        self.text.push('\n');
        self.text.push_str(&"  ".repeat(self.depth.min(INDENT_MAX)));
    }
}

fn said(known: &mut Known<'_>, place: Place<'_>, scalar: Scalar<'_>) -> String {
    let text = match scalar {
        Scalar::Word(word) => return word.to_owned(),
        Scalar::Broken(bytes) => return format!("‹no JSON {bytes}›"),
        Scalar::Number(text) if !place.in_record && marks::is_count(place.name, text) && known.is_safe(text) => {
            return text.to_owned();
        }
        Scalar::Number(text) => {
            let number = known.number(text);
            return number.map_or_else(|| format!("‹number {}›", text.len()), |at| format!("‹number {} #{at}›", text.len()));
        }
        Scalar::Text("") => return "\"\"".to_owned(),
        Scalar::Text(text) => text,
    };
    let named = place.explains() && marks::NAMED.contains(&place.name) && known.is_name(text);
    match role(place, text) {
        Role::Secret => "‹secret›".to_owned(),
        Role::Kept if known.is_safe(text) => format!("\"{text}\""),
        _ if named && known.is_safe(text) => format!("\"{text}\""),
        Role::Words => format!("\"{}\"", words::plain(known, text)),
        Role::Kept | Role::Value => {
            let number = known.number(text);
            mark(text, number)
        }
    }
}
