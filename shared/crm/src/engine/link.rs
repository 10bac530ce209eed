//! Reads `Link` headers (RFC 8288) for the address of the next page. Never takes what it cannot read for the end.

use reqwest::header::{HeaderMap, LINK};

/// The first address whose relation is `next`; `None` where the headers name none.
pub(super) fn next(headers: &HeaderMap) -> Result<Option<String>, String> {
    let mut found = None;
    for value in headers.get_all(LINK) {
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| unreadable())?;
        let mut links = Links { rest: text };
        while let Some(link) = links.link().ok_or_else(unreadable)? {
            if link.is_next && found.is_none() {
                found = Some(link.address.to_owned());
            }
        }
    }
    Ok(found)
}

fn unreadable() -> String {
    "its `Link` header cannot be read, and what leads to the next page may stand there".to_owned()
}

struct Link<'a> {
    address: &'a str,
    is_next: bool,
}

/// What is left of a header's value. `None` of its methods: it is not written as the standard says.
struct Links<'a> {
    rest: &'a str,
}

impl<'a> Links<'a> {
    /// The next link; `None` in it behind the last.
    fn link(&mut self) -> Option<Option<Link<'a>>> {
        // Empty entries of a list are legal.
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
        if self.rest.is_empty() {
            return Some(None);
        }
        let (address, rest) = self.rest.strip_prefix('<')?.split_once('>')?;
        self.rest = rest;
        let mut relation: Option<String> = None;
        while self.takes(';') {
            let (name, value) = self.parameter()?;
            if name.eq_ignore_ascii_case("rel") {
                // Any further one says nothing.
                relation.get_or_insert(value);
            }
        }
        if !self.rest.is_empty() && !self.rest.starts_with(',') {
            return None;
        }
        let is_next = relation.is_some_and(|words| words.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("next")));
        Some(Some(Link { address: address.trim(), is_next }))
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn takes(&mut self, sign: char) -> bool {
        self.skip_blanks();
        let taken = self.rest.strip_prefix(sign);
        self.rest = taken.unwrap_or(self.rest);
        taken.is_some()
    }

    fn until(&mut self, ends: &[char]) -> &'a str {
        let (taken, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// A name and its value, which is empty where there is none.
    fn parameter(&mut self) -> Option<(&'a str, String)> {
        self.skip_blanks();
        let name = self.until(&[' ', '\t', '=', ';', ',']);
        if !self.takes('=') {
            return Some((name, String::new()));
        }
        if !self.takes('"') {
            return Some((name, self.until(&[' ', '\t', ';', ',']).to_owned()));
        }
        let mut value = String::new();
        let mut signs = self.rest.char_indices();
        loop {
            match signs.next()? {
                (at, '"') => {
                    self.rest = self.rest.get(at + 1..)?;
                    self.skip_blanks();
                    return Some((name, value));
                }
                (_, '\\') => value.push(signs.next()?.1),
                (_, sign) => value.push(sign),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn of(texts: &[&str]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(LINK, HeaderValue::from_bytes(text.as_bytes()).unwrap());
        }
        next(&headers)
    }

    #[test]
    fn the_next_address_is_found_however_the_header_is_written() {
        let written: [&[&str]; 12] = [
            &["</p3>; rel=\"next\""],
            &["</p1>; rel=\"prev\",</p3>; rel=\"next\""],
            &["</p1>; rel=\"prev\" , </p3> ; rel = \"next\" , </p9>; rel=last"],
            &["</p1>;rel=prev,</p3>;rel=next"],
            &["</p1>; rel=prev", "</p3>; rel=next"],
            &["</p3>; REL=\"Next\""],
            &["</p3>; rel=\"last  next\""],
            &["</p1>; title=\"a, <b>; rel=next \\\" c\"; rel=\"prev\", </p3>; title=\"\"; rel=\"next\""],
            &["</p1>; rel=\"prev\"; rel=\"next\", </p3>; rel=next"],
            &[", ,</p3>; crossorigin; rel=next,"],
            &["</p1>; rel=\"nextish\", </p3>; rel=\"next\"; title*=UTF-8''n%c3%a4chste"],
            &["</p3>; rel=next, </p4>; rel=next"],
        ];
        for texts in written {
            assert_eq!(of(texts), Ok(Some("/p3".to_owned())), "{texts:?}");
        }
        assert_eq!(of(&["<https://x.test/p?ids=1,2&a=b;c>; rel=next"]), Ok(Some("https://x.test/p?ids=1,2&a=b;c".to_owned())));
    }

    #[test]
    fn no_next_address_is_the_end_and_an_unreadable_header_is_not() {
        for texts in [&[][..], &[""], &["</p1>; rel=prev"], &["</p1>"], &["</p1>; title=\"rel=next\""]] {
            assert_eq!(of(texts), Ok(None), "{texts:?}");
        }
        let broken = ["/p3; rel=next", "</p3; rel=next", "</p1>; rel=\"prev, </p3>; rel=\"next", "</p3> rel=next", "next"];
        for text in broken {
            assert!(of(&[text]).is_err(), "{text}");
            assert!(of(&["</p1>; rel=prev", text]).is_err(), "{text}");
        }
    }
}
