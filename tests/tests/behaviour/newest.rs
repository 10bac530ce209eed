//! Fields that go to who was later: by the row's own time and the record's stamp, on one clock, and only where the two can be told apart.

use eyre::OptionExt;
use tidemark_core::why::{Asked, tell};
use tidemark_sandbox::ObjectType::Contacts;
use tidemark_sandbox::Weather;
use tidemark_store::why;
use tidemark_tests::{Kind, Rig, Setup, on_both_databases};

const CONTACTS: &str = "hubspot.contacts";
const HELD: &str = "phone = { column = \"phone\", owner = \"hold\" }";
const ELSE_HOLD: &[(&str, &str)] = &[(HELD, "phone = { column = \"phone\", owner = \"newest\", fallback = \"hold\" }")];
const ELSE_CRM: &[(&str, &str)] = &[(HELD, "phone = { column = \"phone\", owner = \"newest\", fallback = \"crm\" }")];
const ELSE_ORDERS: &[(&str, &str)] = &[(HELD, "phone = { column = \"phone\", owner = \"newest\", fallback = \"orders\" }")];
const TOLD: &str = "row_modified = \"updated_at\"";
const TOUCHED: &str = "row_modified = \"updated_at\"\ntouch = { updated_at = \"updated_at\" }";

/// A time so many seconds from now, as the column writes it.
fn from_now(kind: Kind, secs: i64) -> String {
    match kind {
        Kind::Sqlite => format!("strftime('%Y-%m-%d %H:%M:%f', 'now', '{secs} seconds')"),
        Kind::Postgres => format!("now() + interval '{secs} seconds'"),
    }
}

struct Pair {
    rig: Rig,
    id: String,
    kind: Kind,
}

impl Pair {
    /// A customer whose phone is `1` on both sides, changed an hour ago.
    async fn agreed(kind: Kind, contacts: &'static str, instead: &'static [(&'static str, &'static str)]) -> eyre::Result<Self> {
        Self::with(kind, Setup { contacts, instead, ..Setup::default() }).await
    }

    async fn with(kind: Kind, setup: Setup) -> eyre::Result<Self> {
        let rig = Rig::with(kind, setup).await?;
        let long_ago = from_now(kind, -3_600);
        rig.db.run(&format!("INSERT INTO customers (email, first_name, phone, email_confirmed_at, updated_at) VALUES ('ana@acme.test', 'Ana', '1', '2026-01-01 00:00:00', {long_ago})")).await?;
        rig.settle().await?;
        let id = rig.db.one("SELECT hubspot_id FROM customers").await?.ok_or_eyre("no id came back")?;
        Ok(Self { rig, id, kind })
    }

    /// The order system writes this phone, and that it did so then.
    async fn row(&self, phone: &str, secs: i64) -> eyre::Result<()> {
        self.rig.db.run(&format!("UPDATE customers SET phone = '{phone}', updated_at = {}", from_now(self.kind, secs))).await
    }

    /// The CRM's people write this phone, now.
    fn record(&self, phone: &str) -> eyre::Result<()> {
        Ok(self.rig.crm.crm().edit(Contacts, &self.id, &[("phone", phone)])?)
    }

    /// A page shows the record before any push, then everything that is owed is paid.
    async fn meet(&self) -> eyre::Result<(String, String)> {
        self.rig.catch_up(CONTACTS).await?;
        self.pay().await?;
        self.phones().await
    }

    async fn pay(&self) -> eyre::Result<()> {
        for _ in 0..3 {
            self.rig.push(CONTACTS).await?;
            self.rig.read(CONTACTS).await?;
            self.rig.debts_due(CONTACTS).await?;
        }
        Ok(())
    }

    async fn phones(&self) -> eyre::Result<(String, String)> {
        let row = self.rig.db.one("SELECT phone FROM customers").await?;
        Ok((row.unwrap_or_default(), self.rig.record("contacts", &self.id).await?.get("phone").cloned().unwrap_or_default()))
    }

    /// What is told of the phone, newest first.
    async fn told(&self) -> eyre::Result<Vec<String>> {
        let mapped = self.rig.stream(CONTACTS)?;
        let facts = why::look(&self.rig.store, mapped.id, &mapped.spec, &Asked::parse("row:1"), self.rig.streams()).await?;
        Ok(tell(&mapped.spec, &facts, Some("phone")).history.into_iter().map(|passage| passage.sentence).collect())
    }
}

fn both(row: &str, record: &str) -> (String, String) {
    (row.to_owned(), record.to_owned())
}

on_both_databases! {
    async fn h11_the_side_that_changed_later_wins_and_the_other_is_put_right(kind) {
        let pair = Pair::agreed(kind, TOLD, ELSE_HOLD).await?;
        pair.row("2", -60).await?;
        pair.record("3")?;
        assert_eq!(pair.meet().await?, both("3", "3"), "the record was changed a minute later");
        let told = pair.told().await?;
        let newest = told.first().ok_or_eyre("nothing is told")?;
        for words in ["taken from the CRM: both sides changed, and the later one stands", "the row was changed at ", ", the record at ", " by its clock, which ", "it was «2» and became «3»"] {
            assert!(newest.contains(words), "{words:?} is missing in {newest}");
        }
        pair.row("4", 60).await?;
        pair.record("5")?;
        assert_eq!(pair.meet().await?, both("4", "4"), "the row was changed a minute later");
        let told = pair.told().await?;
        assert!(told.iter().any(|told| told.starts_with("the row's value stands and is owed to the CRM: both sides changed, and the later one stands")), "{told:?}");
        Ok(())
    }

    async fn h11_what_is_too_close_to_tell_goes_to_the_fallback(kind) {
        for (instead, expect) in [(ELSE_CRM, both("3", "3")), (ELSE_ORDERS, both("2", "2")), (ELSE_HOLD, both("2", "3"))] {
            let pair = Pair::agreed(kind, TOLD, instead).await?;
            pair.row("2", 0).await?;
            pair.record("3")?;
            assert_eq!(pair.meet().await?, expect);
            let told = pair.told().await?;
            assert!(told.iter().any(|told| told.contains("which was later cannot be told") && told.contains("the row was changed at ")), "{told:?}");
        }
        Ok(())
    }

    async fn h11_a_row_that_tells_no_time_leaves_it_to_the_fallback(kind) {
        let pair = Pair::agreed(kind, TOLD, ELSE_CRM).await?;
        pair.rig.db.run("UPDATE customers SET phone = '2', updated_at = NULL").await?;
        pair.record("3")?;
        assert_eq!(pair.meet().await?, both("3", "3"));
        let pair = Pair::agreed(kind, TOLD, ELSE_ORDERS).await?;
        pair.row("2", -60).await?;
        pair.rig.db.run("UPDATE customers SET updated_at = '2099-01-01 00:00:00'").await?;
        pair.record("3")?;
        assert_eq!(pair.meet().await?, both("2", "2"));
        let told = pair.told().await?;
        assert!(told.iter().any(|told| told.contains("which was later cannot be told")), "a time in the future is none: {told:?}");
        Ok(())
    }

    async fn h11_the_crms_stamp_is_brought_to_the_databases_clock(kind) {
        // The CRM's clock is a minute ahead: its stamp says 30 s later than the row, and it was changed 30 s before it.
        let ahead = Weather { index_lag_ms: (0, 0), clock_offset_ms: 60_000, ..Weather::calm() };
        let setup = Setup { contacts: TOLD, instead: ELSE_HOLD, weather: ahead, ..Setup::default() };
        let pair = Pair::with(kind, setup).await?;
        pair.row("2", 30).await?;
        pair.record("3")?;
        assert_eq!(pair.meet().await?, both("2", "2"));
        let told = pair.told().await?;
        assert!(told.iter().any(|told| told.contains("by its clock, which is 59 s ahead") || told.contains("by its clock, which is 60 s ahead")), "{told:?}");
        Ok(())
    }

    async fn h11_our_own_write_of_the_row_is_no_later_edit(kind) {
        let pair = Pair::agreed(kind, TOUCHED, ELSE_HOLD).await?;
        pair.row("2", -60).await?;
        // A page writes another column of the row and moves its time to now, before the edit was sent.
        pair.rig.crm.crm().edit(Contacts, &pair.id, &[("company", "Acme")])?;
        pair.rig.catch_up(CONTACTS).await?;
        let moved = format!("customers WHERE company = 'Acme' AND phone = '2' AND updated_at > {}", from_now(kind, -30));
        assert_eq!(pair.rig.db.count(&moved).await?, 1);
        pair.record("3")?;
        assert_eq!(pair.meet().await?, both("3", "3"), "the edit is a minute old, whatever the row's time says by now");
        Ok(())
    }

    async fn h11_a_push_reads_before_it_sends(kind) {
        let pair = Pair::agreed(kind, TOLD, ELSE_HOLD).await?;
        pair.row("2", -60).await?;
        pair.record("3")?;
        let writes = pair.rig.crm.crm().counters().writes;
        pair.pay().await?;
        assert_eq!(pair.phones().await?, both("3", "3"), "the edit in the CRM was not read by any page yet, and is not overwritten");
        assert_eq!(pair.rig.crm.crm().counters().writes, writes);
        Ok(())
    }

    async fn h11_a_change_on_one_side_goes_to_the_other_whatever_the_times_say(kind) {
        let pair = Pair::agreed(kind, TOLD, ELSE_HOLD).await?;
        pair.row("2", -86_400).await?;
        assert_eq!(pair.meet().await?, both("2", "2"), "an old time is no reason not to send");
        pair.rig.db.run(&format!("UPDATE customers SET updated_at = {}", from_now(kind, 60))).await?;
        pair.record("3")?;
        assert_eq!(pair.meet().await?, both("3", "3"), "a newer row is no reason not to take");
        Ok(())
    }

    async fn h11_a_first_meeting_goes_to_the_fallback(kind) {
        for (instead, secs, expect) in [(ELSE_CRM, 60, "3"), (ELSE_ORDERS, -60, "2")] {
            let rig = Rig::with(kind, Setup { contacts: TOLD, instead, ..Setup::default() }).await?;
            let id = rig.crm.crm().create(Contacts, &[("email", "ana@acme.test"), ("phone", "3")])?;
            rig.db.run(&format!("INSERT INTO customers (email, first_name, phone, email_confirmed_at, updated_at) VALUES ('ana@acme.test', 'Ana', '2', '2026-01-01 00:00:00', {})", from_now(kind, secs))).await?;
            rig.settle().await?;
            let pair = Pair { rig, id, kind };
            assert_eq!(pair.phones().await?, both(expect, expect));
        }
        Ok(())
    }

    async fn h24_a_stale_save_is_no_edit_however_new_its_row_is(kind) {
        let pair = Pair::agreed(kind, TOLD, ELSE_HOLD).await?;
        pair.record("2")?;
        assert_eq!(pair.meet().await?, both("2", "2"));
        pair.row("1", 60).await?;
        pair.pay().await?;
        assert_eq!(pair.phones().await?, both("2", "2"), "an object that was loaded before the page came");
        Ok(())
    }

    async fn h11_an_edit_that_was_undone_leaves_no_time_behind(kind) {
        let pair = Pair::agreed(kind, TOLD, ELSE_HOLD).await?;
        pair.row("2", -600).await?;
        pair.rig.crm.crm().edit(Contacts, &pair.id, &[("company", "Acme")])?;
        pair.rig.catch_up(CONTACTS).await?;
        pair.row("1", -300).await?;
        pair.rig.push(CONTACTS).await?;
        // The same value again, a minute from now: later than the record.
        pair.row("2", 60).await?;
        pair.record("3")?;
        assert_eq!(pair.meet().await?, both("2", "2"));
        Ok(())
    }
}
