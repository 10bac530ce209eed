//! The query language, as far as a reader by keyset needs it: read into a tree, or refused with the vendor's words.

use crate::Refusal;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Query {
    pub(super) select: Select,
    pub(super) from: String,
    pub(super) condition: Option<Condition>,
    pub(super) order: Vec<Order>,
    pub(super) limit: Option<u64>,
    pub(super) offset: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Select {
    Fields(Vec<String>),
    Count,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Compare { field: String, operator: Operator, literal: Literal },
    In { field: String, literals: Vec<Literal>, negated: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Like,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Number(f64),
    Flag(bool),
    Null,
    /// A day or a time, as written. Never in quotes.
    Time(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) field: String,
    pub(super) descending: bool,
    pub(super) nulls_last: bool,
}

pub(super) fn parse(text: &str) -> Result<Query, Refusal> {
    let mut reader = Reader { tokens: tokens(text)?, at: 0 };
    let query = reader.query()?;
    match reader.next() {
        None => Ok(query),
        Some(token) => Err(unexpected(&token)),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(&'static str),
}

const SIGNS: [&str; 11] = ["!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ",", ";"];

fn tokens(text: &str) -> Result<Vec<Token>, Refusal> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let (literal, after) = quoted(&rest[1..])?;
            tokens.push(Token::Text(literal));
            rest = after;
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || "'!=<>(),;".contains(c)).unwrap_or(rest.len());
            if end == 0 {
                return Err(malformed(&format!("unexpected token: '{first}'")));
            }
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// The text up to the closing quote, escapes resolved, and what follows it.
fn quoted(text: &str) -> Result<(String, &str), Refusal> {
    let mut literal = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Ok((literal, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => literal.push('\n'),
                Some((_, 'r')) => literal.push('\r'),
                Some((_, 't')) => literal.push('\t'),
                Some((_, escaped)) => literal.push(escaped),
                None => break,
            },
            other => literal.push(other),
        }
    }
    Err(malformed("line 1: unterminated string literal"))
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
}

impl Reader {
    fn query(&mut self) -> Result<Query, Refusal> {
        self.need("SELECT")?;
        let select = self.select()?;
        self.need("FROM")?;
        let from = self.name()?;
        let condition = if self.takes("WHERE") { Some(self.condition()?) } else { None };
        let mut order = Vec::new();
        if self.takes("ORDER") {
            self.need("BY")?;
            loop {
                order.push(self.order()?);
                if !self.takes_sign(",") {
                    break;
                }
            }
        }
        let limit = if self.takes("LIMIT") { Some(self.whole()?) } else { None };
        let offset = if self.takes("OFFSET") { self.whole()? } else { 0 };
        Ok(Query { select, from, condition, order, limit, offset })
    }

    fn select(&mut self) -> Result<Select, Refusal> {
        let mut fields = Vec::new();
        loop {
            let field = self.name()?;
            if field.eq_ignore_ascii_case("COUNT") && self.takes_sign("(") {
                self.need_sign(")")?;
                return Ok(Select::Count);
            }
            fields.push(field);
            if !self.takes_sign(",") {
                return Ok(Select::Fields(fields));
            }
        }
    }

    fn order(&mut self) -> Result<Order, Refusal> {
        let field = self.name()?;
        let descending = self.takes("DESC");
        if !descending {
            self.takes("ASC");
        }
        let mut nulls_last = descending;
        if self.takes("NULLS") {
            nulls_last = if self.takes("LAST") {
                true
            } else {
                self.need("FIRST")?;
                false
            };
        }
        Ok(Order { field, descending, nulls_last })
    }

    /// One level of conditions. `AND` and `OR` side by side need brackets.
    fn condition(&mut self) -> Result<Condition, Refusal> {
        let first = self.term()?;
        let (word, other) = if self.peeks("AND") {
            ("AND", "OR")
        } else if self.peeks("OR") {
            ("OR", "AND")
        } else {
            return Ok(first);
        };
        let mut terms = vec![first];
        while self.takes(word) {
            terms.push(self.term()?);
        }
        if self.peeks(other) {
            return Err(malformed(&format!("unexpected token: '{other}'")));
        }
        Ok(if word == "AND" { Condition::All(terms) } else { Condition::Any(terms) })
    }

    fn term(&mut self) -> Result<Condition, Refusal> {
        if self.takes("NOT") {
            return Ok(Condition::Not(Box::new(self.term()?)));
        }
        if self.takes_sign("(") {
            let inner = self.condition()?;
            self.need_sign(")")?;
            return Ok(inner);
        }
        let field = self.name()?;
        let negated = self.takes("NOT");
        if self.takes("IN") {
            self.need_sign("(")?;
            let mut literals = vec![self.literal()?];
            while self.takes_sign(",") {
                literals.push(self.literal()?);
            }
            self.need_sign(")")?;
            return Ok(Condition::In { field, literals, negated });
        }
        if negated {
            return Err(malformed("unexpected token: 'NOT'"));
        }
        let operator = self.operator()?;
        Ok(Condition::Compare { field, operator, literal: self.literal()? })
    }

    fn operator(&mut self) -> Result<Operator, Refusal> {
        if self.takes("LIKE") {
            return Ok(Operator::Like);
        }
        match self.next() {
            Some(Token::Sign("=")) => Ok(Operator::Equal),
            Some(Token::Sign("!=" | "<>")) => Ok(Operator::NotEqual),
            Some(Token::Sign("<")) => Ok(Operator::Less),
            Some(Token::Sign("<=")) => Ok(Operator::AtMost),
            Some(Token::Sign(">")) => Ok(Operator::Greater),
            Some(Token::Sign(">=")) => Ok(Operator::AtLeast),
            Some(token) => Err(unexpected(&token)),
            None => Err(ended()),
        }
    }

    fn literal(&mut self) -> Result<Literal, Refusal> {
        match self.next() {
            Some(Token::Text(text)) => Ok(Literal::Text(text)),
            Some(Token::Word(word)) => {
                let lower = word.to_lowercase();
                match lower.as_str() {
                    "null" => Ok(Literal::Null),
                    "true" | "false" => Ok(Literal::Flag(lower == "true")),
                    _ if word.parse::<f64>().is_ok() => Ok(Literal::Number(word.parse().unwrap_or_default())),
                    _ if word.starts_with(|c: char| c.is_ascii_digit()) => Ok(Literal::Time(word)),
                    _ => Err(malformed(&format!("Bind variables only allowed in Apex code: '{word}'"))),
                }
            }
            Some(token) => Err(unexpected(&token)),
            None => Err(ended()),
        }
    }

    fn name(&mut self) -> Result<String, Refusal> {
        match self.next() {
            Some(Token::Word(word)) if word.starts_with(|c: char| c.is_ascii_alphabetic()) => Ok(word),
            Some(token) => Err(unexpected(&token)),
            None => Err(ended()),
        }
    }

    fn whole(&mut self) -> Result<u64, Refusal> {
        match self.next() {
            Some(Token::Word(word)) => word.parse().map_err(|_| unexpected(&Token::Word(word))),
            Some(token) => Err(unexpected(&token)),
            None => Err(ended()),
        }
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn peeks(&self, word: &str) -> bool {
        matches!(self.tokens.get(self.at), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = self.peeks(word);
        self.at += usize::from(found);
        found
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Sign(found)) if *found == sign);
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, word: &str) -> Result<(), Refusal> {
        if self.takes(word) { Ok(()) } else { Err(self.next().map_or_else(ended, |token| unexpected(&token))) }
    }

    fn need_sign(&mut self, sign: &str) -> Result<(), Refusal> {
        if self.takes_sign(sign) { Ok(()) } else { Err(self.next().map_or_else(ended, |token| unexpected(&token))) }
    }
}

pub(super) fn malformed(text: &str) -> Refusal {
    Refusal::new(400, "MALFORMED_QUERY", text)
}

fn unexpected(token: &Token) -> Refusal {
    match token {
        Token::Word(word) => malformed(&format!("unexpected token: '{word}'")),
        Token::Text(text) => malformed(&format!("unexpected token: '{text}'")),
        Token::Sign(sign) => malformed(&format!("unexpected token: '{sign}'")),
    }
}

fn ended() -> Refusal {
    malformed("unexpected token: '<EOF>'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyset_reader_is_understood() {
        let text = "SELECT Id, Email FROM Contact WHERE SystemModstamp >= 2026-03-01T12:00:00Z AND SystemModstamp < 2026-03-01T13:00:00Z \
            AND (SystemModstamp > 2026-03-01T12:00:00Z OR (SystemModstamp = 2026-03-01T12:00:00Z AND Id > '003A')) \
            ORDER BY SystemModstamp ASC, Id LIMIT 200 OFFSET 5";
        let query = parse(text).unwrap();
        assert_eq!(query.select, Select::Fields(vec!["Id".to_owned(), "Email".to_owned()]));
        assert_eq!((query.limit, query.offset, query.order.len()), (Some(200), 5, 2));
        let Some(Condition::All(terms)) = query.condition else { panic!("three conditions") };
        assert!(matches!(&terms[2], Condition::Any(any) if matches!(&any[1], Condition::All(all) if all.len() == 2)));
    }

    #[test]
    fn quotes_escapes_and_lists_are_read() {
        let condition = |text: &str| parse(&format!("select Id from Contact where {text}")).unwrap().condition.unwrap();
        let text = |text: &str| Literal::Text(text.to_owned());
        let check = |source: &str, literal: Literal| {
            let expect = Condition::Compare { field: "Name".to_owned(), operator: Operator::Equal, literal };
            assert_eq!(condition(source), expect);
        };
        check(r"Name = 'O\'Brien, (x)'", text("O'Brien, (x)"));
        check("Name=null", Literal::Null);
        check("Name = TRUE", Literal::Flag(true));
        check("Name = -1.5", Literal::Number(-1.5));
        let literals = vec![text("a"), text("b")];
        assert_eq!(condition("Id NOT IN ('a','b')"), Condition::In { field: "Id".to_owned(), literals, negated: true });
        assert!(matches!(condition("NOT (Name LIKE 'a%')"), Condition::Not(_)));
    }

    #[test]
    fn what_the_vendor_would_not_read_is_refused() {
        for text in [
            "SELECT FROM Contact",
            "SELECT Id FROM Contact WHERE",
            "SELECT Id FROM Contact WHERE Name = 'x",
            "SELECT Id FROM Contact WHERE A = 1 AND B = 2 OR C = 3",
            "SELECT Id FROM Contact WHERE Name = x",
            "SELECT Id FROM Contact LIMIT many",
            "SELECT Id FROM Contact; DELETE",
            "SELECT * FROM Contact",
            "DELETE FROM Contact",
        ] {
            assert_eq!(parse(text).unwrap_err().category(), "MALFORMED_QUERY", "{text}");
        }
    }
}
