//! The query language, as far as one condition goes: fields of a module where a field is a value, or one of several. Answers what is committed, whatever the index says.

use serde_json::{Value, json};

use super::{known, refuse, render};
use crate::{
    Refusal,
    call::{Answer, Call},
    record::Life,
    turn::Turn,
};

const ROWS_USUAL: usize = 200;
const ROWS_MAX: usize = 2000;
const VALUES_MAX: usize = 100;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A name, a keyword, a number or a sign.
    Word(String),
    Text(String),
}

/// `select FIELDS from MODULE where FIELD = 'text'`, or `in ('one', 'two')`, and a limit.
#[derive(Debug, PartialEq)]
struct Query {
    fields: Vec<String>,
    module: String,
    field: String,
    values: Vec<String>,
    limit: usize,
}

pub(super) fn answer(turn: &Turn<'_>, call: &Call) -> Result<Answer, Refusal> {
    let body: Value = serde_json::from_str(&call.body).unwrap_or_default();
    let text = body["select_query"].as_str().ok_or_else(|| refuse::needed("select_query"))?;
    let query = parse(text).ok_or_else(|| syntax(text))?;
    let object = known(&query.module)?;
    let table = turn.store.table(object);
    let unknown = query.fields.iter().chain([&query.field]).find(|name| table.schema.find(name).is_none());
    if let Some(name) = unknown {
        let details = json!({ "column_name": name });
        return Err(Refusal::new(400, "INVALID_QUERY", "column given seems to be invalid").with_context(details));
    }
    if query.values.len() > VALUES_MAX || !(1..=ROWS_MAX).contains(&query.limit) {
        return Err(Refusal::new(400, "LIMIT_EXCEEDED", "the limit of the query is exceeded"));
    }
    let fits = |own: &str| query.values.iter().any(|value| own.eq_ignore_ascii_case(value));
    let seen = table.records().filter_map(|record| Some((record, record.committed(turn.now_ms)?)));
    let found = seen.filter(|(_, version)| version.life == Life::Active);
    let found = found.filter(|(record, version)| match query.field.as_str() {
        "id" => fits(&render::id(record.id)),
        field => version.props.get(field).is_some_and(|own| fits(own)),
    });
    let rows: Vec<Value> =
        found.take(query.limit + 1).map(|(record, version)| render::row(turn, record, version, Some(&query.fields))).collect();
    if rows.is_empty() {
        return Ok(Answer::empty(204));
    }
    let more = rows.len() > query.limit;
    let data: Vec<Value> = rows.into_iter().take(query.limit).collect();
    let info = json!({ "count": data.len(), "more_records": more });
    Ok(Answer::json(200, &json!({ "data": data, "info": info })))
}

fn syntax(text: &str) -> Refusal {
    let near: String = text.chars().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect();
    Refusal::new(400, "SYNTAX_ERROR", "error occurred while parsing the query").with_context(json!({ "near": near }))
}

type Tokens = std::iter::Peekable<std::vec::IntoIter<Token>>;

/// The next word, where it is this one; any where none is asked for.
fn word(tokens: &mut Tokens, wanted: Option<&str>) -> Option<String> {
    match tokens.next()? {
        Token::Word(word) if wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(&word)) => Some(word),
        _ => None,
    }
}

fn parse(text: &str) -> Option<Query> {
    let mut tokens = tokens(text)?.into_iter().peekable();
    word(&mut tokens, Some("select"))?;
    let mut fields = vec![word(&mut tokens, None)?];
    while tokens.next_if(|token| *token == Token::Word(",".to_owned())).is_some() {
        fields.push(word(&mut tokens, None)?);
    }
    word(&mut tokens, Some("from"))?;
    let module = word(&mut tokens, None)?;
    word(&mut tokens, Some("where"))?;
    let field = word(&mut tokens, None)?;
    let values = match word(&mut tokens, None)?.to_lowercase().as_str() {
        "=" => vec![value(&mut tokens)?],
        "in" => {
            word(&mut tokens, Some("("))?;
            let mut values = vec![value(&mut tokens)?];
            while tokens.next_if(|token| *token == Token::Word(",".to_owned())).is_some() {
                values.push(value(&mut tokens)?);
            }
            word(&mut tokens, Some(")"))?;
            values
        }
        _ => return None,
    };
    let limit = match tokens.next() {
        None => ROWS_USUAL,
        Some(Token::Word(limit)) if limit.eq_ignore_ascii_case("limit") => word(&mut tokens, None)?.parse().ok()?,
        Some(_) => return None,
    };
    tokens.next().is_none().then_some(Query { fields, module, field, values, limit })
}

fn value(tokens: &mut Tokens) -> Option<String> {
    match tokens.next()? {
        Token::Text(value) => Some(value),
        Token::Word(_) => None,
    }
}

/// `None` where a text is not closed. Inside one a quote is doubled; a backslash is a letter like others.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut letters = text.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' => {}
            ',' | '(' | ')' | '=' => tokens.push(Token::Word(letter.to_string())),
            '\'' => {
                let mut value = String::new();
                loop {
                    match letters.next()? {
                        '\'' if letters.peek() == Some(&'\'') => value.extend(letters.next()),
                        '\'' => break,
                        other => value.push(other),
                    }
                }
                tokens.push(Token::Text(value));
            }
            first => {
                let mut word = String::from(first);
                while let Some(next) = letters.next_if(|next| !" ,()='".contains(*next)) {
                    word.push(next);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_to_its_end_or_not_at_all() {
        let query = |values: &[&str], limit| Query {
            fields: vec!["id".to_owned(), "Email".to_owned()],
            module: "Contacts".to_owned(),
            field: "Email".to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            limit,
        };
        let start = "select id,Email from Contacts where Email";
        assert_eq!(parse(&format!("{start} = 'o''neil\\'")), Some(query(&["o'neil\\"], 200)));
        assert_eq!(parse(&format!("{start} in ('a', 'b') limit 2000")), Some(query(&["a", "b"], 2000)));
        for wrong in ["= 'a' or Email = 'b'", "= 'a'b'", "= 'a", "in ('a'", "in ()", "= 'a' limit", "like '%'", "= 'a' limit 5 6"]
        {
            assert_eq!(parse(&format!("{start} {wrong}")), None, "{wrong}");
        }
    }
}
