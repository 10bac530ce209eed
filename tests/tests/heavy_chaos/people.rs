//! People at work on both sides while processes die: their edits, by plain SQL and in the CRM's own screens, and the dice that choose them.

use std::collections::BTreeMap;
use std::time::Duration;

use eyre::{WrapErr, bail};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use tidemark_sandbox::ObjectType::{Contacts, Deals};
use tidemark_sandbox::{Crm, ObjectType, Refusal, Snapshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What the people of one side did.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    pub(crate) made: u64,
    /// What somebody last wrote where nobody of the other side may: (table or object, id, column or property) and the value.
    pub(crate) last: BTreeMap<(&'static str, String, &'static str), String>,
}

/// People of the order system, until they are told to stop.
pub(crate) fn clerks(app: &DatabaseConnection, mut dice: Dice, stop: CancellationToken) -> JoinHandle<eyre::Result<Edits>> {
    let app = app.clone();
    tokio::spawn(async move {
        let (mut edits, mut entered, mut visitors) = (Edits::default(), 1_000, 0);
        while stop.run_until_cancelled(tokio::time::sleep(dice.breath())).await.is_some() {
            edits.made += 1;
            let (table, column, value, among) = match dice.below(100) {
                0..20 => ("customers", "first_name", dice.word("First"), "true"),
                20..26 => ("customers", "last_name", dice.word("Last"), "true"),
                26..38 => ("customers", "phone", dice.phone(), "email LIKE 'shop%'"),
                38..46 => ("customers", "email_confirmed_at", "2026-02-01 00:00:00+00".to_owned(), "email_confirmed_at IS NULL"),
                46..56 => ("orders", "status", "shipped".to_owned(), "status = 'accepted'"),
                56..60 => ("orders", "status", "cancelled".to_owned(), "status = 'shipped'"),
                60..64 => ("orders", "status", "accepted".to_owned(), "status = 'draft'"),
                64..74 => ("orders", "total_cents", dice.below(5_000_000).to_string(), "true"),
                more => {
                    let sql = match more {
                        74..84 => {
                            entered += 1;
                            customer(&format!("shop{entered}"), dice.below(5) > 0)
                        }
                        84..88 => {
                            visitors += 1;
                            customer(&format!("fair{visitors}"), true)
                        }
                        _ => order(&mut dice),
                    };
                    app.execute_unprepared(&sql).await.wrap_err(sql)?;
                    continue;
                }
            };
            let sql = change(table, column, &value, among, &mut dice);
            let changed = app.query_one_raw(Statement::from_string(app.get_database_backend(), &sql)).await.wrap_err(sql)?;
            if let Some(row) = changed {
                edits.last.insert((table, row.try_get_by_index(0)?, column), value);
            }
        }
        Ok(edits)
    })
}

/// Sales people in the CRM's own screens, until they are told to stop. What the order system owns they change in vain.
pub(crate) fn sales(crm: &Crm, mut dice: Dice, stop: CancellationToken) -> JoinHandle<eyre::Result<Edits>> {
    let crm = crm.clone();
    tokio::spawn(async move {
        let (mut edits, mut made, mut visitors) = (Edits::default(), 1_000, 0);
        while stop.run_until_cancelled(tokio::time::sleep(dice.breath())).await.is_some() {
            edits.made += 1;
            let (property, value, whose) = match dice.below(100) {
                0..35 => ("company", dice.word("Company"), ""),
                35..50 => ("phone", dice.phone(), "crm"),
                50..58 => ("email", format!("crm-{:x}@crm.test", dice.next()), "crm"),
                58..70 => ("firstname", dice.word("Wrong"), ""),
                70..82 => ("amount", dice.below(9_000).to_string(), ""),
                82..86 => ("dealstage", "contractsent".to_owned(), ""),
                more => {
                    let number = if more < 94 { &mut made } else { &mut visitors };
                    *number += 1;
                    contact(&crm, &format!("{}{number}", if more < 94 { "crm" } else { "fair" }), &mut dice)?;
                    continue;
                }
            };
            let object = if matches!(property, "amount" | "dealstage") { Deals } else { Contacts };
            let edited = edit(&crm, object, whose, (property, &value), &mut dice)?;
            if let Some(id) = edited.filter(|_| matches!(property, "company" | "phone" | "email")) {
                edits.last.insert(("contacts", id, property), value);
            }
        }
        Ok(edits)
    })
}

/// One change of one row among those a condition leaves.
fn change(table: &str, column: &str, value: &str, among: &str, dice: &mut Dice) -> String {
    let (place, count) = (dice.below(1 << 40), format!("(SELECT GREATEST(count(*), 1) FROM {table} WHERE {among})"));
    format!(
        "UPDATE {table} SET {column} = '{value}' WHERE id = (SELECT id FROM {table} WHERE {among} ORDER BY id OFFSET {place} % {count} LIMIT 1) RETURNING CAST(id AS TEXT)"
    )
}

pub(crate) fn customer(name: &str, confirmed: bool) -> String {
    let confirmed = if confirmed { "'2026-01-01 00:00:00Z'" } else { "NULL" };
    format!(
        "INSERT INTO customers (email, first_name, last_name, phone, company, email_confirmed_at) VALUES ('{name}@{}.test', 'First', 'Last', '+4930{}', 'Shop & Co', {confirmed}) ON CONFLICT DO NOTHING",
        domain(name),
        name.len()
    )
}

pub(crate) fn order(dice: &mut Dice) -> String {
    let (number, cents, place) = (dice.next(), dice.below(5_000_000), dice.below(1 << 40));
    let status = if dice.below(5) > 0 { "accepted" } else { "draft" };
    format!(
        "INSERT INTO orders (number, customer_id, status, total_cents) SELECT 'R-{number:x}', id, '{status}', {cents} FROM customers ORDER BY id OFFSET {place} % (SELECT count(*) FROM customers) LIMIT 1"
    )
}

pub(crate) fn contact(crm: &Crm, name: &str, dice: &mut Dice) -> eyre::Result<bool> {
    let email = format!("{name}@{}.test", domain(name));
    let company = dice.word("Company");
    allowed(
        crm.create(Contacts, &[("email", &email), ("firstname", "Given"), ("lastname", "Family"), ("company", &company)])
            .map(drop),
    )
}

fn domain(name: &str) -> String {
    name.trim_end_matches(|letter: char| letter.is_ascii_digit()).to_lowercase()
}

/// One change of one live record among those whose e-mail begins so; which it was.
fn edit(crm: &Crm, object: ObjectType, email: &str, change: (&str, &str), dice: &mut Dice) -> eyre::Result<Option<String>> {
    let begins = |record: &Snapshot| record.properties.get("email").map_or("", String::as_str).starts_with(email);
    let live = crm.list(object).into_iter().filter(|record| !record.archived && begins(record));
    let mut ids: Vec<String> = live.map(|record| record.id).collect();
    if ids.is_empty() {
        return Ok(None);
    }
    let id = ids.swap_remove(dice.index(ids.len()));
    Ok(allowed(crm.edit(object, &id, &[change]))?.then_some(id))
}

/// The e-mail is taken: sales shrugs.
fn allowed(edited: Result<(), Refusal>) -> eyre::Result<bool> {
    match edited {
        Ok(()) => Ok(true),
        Err(refusal) if refusal.status() == 409 => Ok(false),
        Err(refusal) => bail!("the CRM refused its own people: {}", refusal.message()),
    }
}

/// Dice that fall the same for the same seed (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// Between two edits of one side.
    fn breath(&mut self) -> Duration {
        Duration::from_millis(30 + self.below(90))
    }

    fn word(&mut self, stem: &str) -> String {
        format!("{stem} {}", self.below(10_000))
    }

    fn phone(&mut self) -> String {
        format!("+4930{}", 1_000_000 + self.below(9_000_000))
    }
}
