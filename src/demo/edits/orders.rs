//! Clerks and customers of the order system: names, phones, confirmed e-mails, new customers, and orders on their way.

use std::time::Duration;

use eyre::WrapErr;
use rand::Rng;
use rand::rngs::StdRng;

use super::super::order_system::{Customer, Order, OrderSystem};
use super::super::people::{first_name, line, lines, person, phone};

#[derive(Debug)]
pub(super) struct Editor {
    system: OrderSystem,
    dice: StdRng,
    seed: u64,
    entered: u64,
    visitors: u64,
}

impl Editor {
    pub(super) fn new(system: OrderSystem, dice: StdRng, seed: u64) -> Self {
        Self { system, dice, seed, entered: 0, visitors: 0 }
    }

    pub(super) fn breath(&mut self, every: Duration) -> Duration {
        super::breath(&mut self.dice, every)
    }

    /// One edit; false when there was nothing of the kind to edit.
    pub(super) async fn edit(&mut self) -> eyre::Result<bool> {
        let kind = self.dice.random_range(0..100);
        let edited = match kind {
            0..20 => self.rename().await,
            20..38 => self.change_phone().await,
            38..48 => self.confirm().await,
            48..58 => self.enter_customer().await,
            58..76 => self.move_order_on().await,
            76..84 => self.add_line().await,
            84..93 => self.order().await,
            _ => self.accept().await,
        };
        edited.wrap_err("the order system could not edit its own database")
    }

    async fn rename(&mut self) -> eyre::Result<bool> {
        let Some(key) = self.any("SELECT id FROM customers").await? else { return Ok(false) };
        let name = first_name(&mut self.dice);
        let sql = "UPDATE customers SET first_name = $2, updated_at = CURRENT_TIMESTAMP WHERE id = $1 AND first_name IS DISTINCT FROM $2";
        Ok(self.system.change(sql, vec![key.into(), name.into()]).await? == 1)
    }

    /// Of customers whose record in the CRM has an odd number. Sales changes phones of even ones: neither side owns a phone, and where both
    /// change one a person has to decide, which nobody does in a demo.
    async fn change_phone(&mut self) -> eyre::Result<bool> {
        let odd = "SELECT id FROM customers WHERE hubspot_id IS NOT NULL AND CAST(hubspot_id AS BIGINT) % 2 = 1";
        let Some(key) = self.any(odd).await? else { return Ok(false) };
        let phone = phone(&mut self.dice);
        let sql = "UPDATE customers SET phone = $2, updated_at = CURRENT_TIMESTAMP WHERE id = $1";
        Ok(self.system.change(sql, vec![key.into(), phone.into()]).await? == 1)
    }

    async fn confirm(&mut self) -> eyre::Result<bool> {
        let Some(key) = self.any("SELECT id FROM customers WHERE email_confirmed_at IS NULL AND email IS NOT NULL").await? else {
            return Ok(false);
        };
        let sql = "UPDATE customers SET email_confirmed_at = CURRENT_TIMESTAMP, updated_at = CURRENT_TIMESTAMP WHERE id = $1";
        Ok(self.system.change(sql, vec![key.into()]).await? == 1)
    }

    async fn enter_customer(&mut self) -> eyre::Result<bool> {
        let person = if self.dice.random_bool(0.15) {
            self.visitors += 1;
            super::visitor(self.seed, self.visitors)
        } else {
            self.entered += 1;
            person(&mut self.dice, &format!("new{}-{}", self.seed, self.entered))
        };
        let confirmed = self.dice.random_bool(0.8);
        Ok(self.system.enter_customer(&Customer { confirmed, ..Customer::of(person) }).await?.is_some())
    }

    /// Accepted orders are shipped; now and then one is cancelled.
    async fn move_order_on(&mut self) -> eyre::Result<bool> {
        let (from, to) = if self.dice.random_bool(0.75) { ("accepted", "shipped") } else { ("shipped", "cancelled") };
        let Some(key) = self.any(&format!("SELECT id FROM orders WHERE status = '{from}'")).await? else { return Ok(false) };
        self.set_status(key, to).await
    }

    async fn accept(&mut self) -> eyre::Result<bool> {
        let Some(key) = self.any("SELECT id FROM orders WHERE status = 'draft'").await? else { return Ok(false) };
        self.set_status(key, "accepted").await
    }

    async fn set_status(&self, key: i64, status: &str) -> eyre::Result<bool> {
        let sql = "UPDATE orders SET status = $2, updated_at = CURRENT_TIMESTAMP WHERE id = $1";
        Ok(self.system.change(sql, vec![key.into(), status.into()]).await? == 1)
    }

    async fn add_line(&mut self) -> eyre::Result<bool> {
        let Some(key) = self.any("SELECT id FROM orders WHERE status IN ('draft', 'accepted')").await? else { return Ok(false) };
        let line = line(&mut self.dice);
        self.system.add_line(key, &line).await
    }

    async fn order(&mut self) -> eyre::Result<bool> {
        let Some(customer_id) = self.any("SELECT id FROM customers").await? else { return Ok(false) };
        let number = format!("R-{}", 1001 + self.system.number("SELECT COALESCE(max(id), 0) FROM orders").await?);
        let status = if self.dice.random_bool(0.8) { "accepted" } else { "draft" };
        let lines = lines(&mut self.dice);
        self.system.enter_orders(&[Order { number, customer_id, status, lines }]).await?;
        Ok(true)
    }

    async fn any(&mut self, keys: &str) -> eyre::Result<Option<i64>> {
        let place = self.dice.random();
        self.system.key_at(keys, place).await
    }
}
