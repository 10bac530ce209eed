//! Records without a stamp: each poll reads everything, what was changed shows by its content, and of who is gone nothing is concluded.

use eyre::ensure;
use tidemark_sandbox::ObjectType::Deals;
use tidemark_tests::vendor::MAILCHIMP_ORDERS;
use tidemark_tests::{Kind, Rig, Setup, on_both_databases};

const ORDERS: &str = "crm.orders";

async fn shop(kind: Kind) -> eyre::Result<(Rig, Vec<String>)> {
    let instead = &[
        ("settings = { dc", "settings = { store = \"shop1\", dc"),
        ("direction = \"both\"", "direction = \"in\""),
        (", outbound = \"archive\"", ""),
        ("owner = \"orders\"", "owner = \"crm\""),
        ("owner = \"hold\"", "owner = \"crm\""),
        ("overlap = \"5s\"", "overlap = \"5s\"\npage_rows_max = 2"),
    ];
    let rig = Rig::with(kind, Setup { vendor: Some(&MAILCHIMP_ORDERS), instead, ..Setup::default() }).await?;
    let mut ids = Vec::new();
    for name in ["ana", "bo", "cy", "di", "ed"] {
        let email = format!("{name}@acme.test");
        ids.push(
            rig.crm.crm().create(Deals, &[("email_address", &email), ("financial_status", "paid"), ("tracking_code", name)])?,
        );
    }
    read_all(&rig).await?;
    Ok((rig, ids))
}

/// One poll to its end.
async fn read_all(rig: &Rig) -> eyre::Result<()> {
    rig.catch_up(ORDERS).await?;
    rig.read(ORDERS).await?;
    Ok(())
}

async fn orders(rig: &Rig) -> eyre::Result<Vec<String>> {
    let rows = rig.db.rows("SELECT email, last_name, phone FROM customers ORDER BY email").await?;
    Ok(rows.into_iter().map(|row| row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join(" ")).collect())
}

fn pages(rig: &Rig) -> usize {
    rig.crm.crm().calls().iter().filter(|call| call.path.ends_with("/orders")).count()
}

on_both_databases! {
    async fn what_carries_no_stamp_is_read_whole_and_changes_by_its_content(kind) {
        let (rig, ids) = shop(kind).await?;
        let first = ["ana@acme.test paid ana", "bo@acme.test paid bo", "cy@acme.test paid cy", "di@acme.test paid di", "ed@acme.test paid ed"];
        ensure!(orders(&rig).await? == first, "{:?}", orders(&rig).await?);
        let crm = rig.crm.crm();
        crm.edit(Deals, &ids[1], &[("financial_status", "refunded")])?;
        crm.create(Deals, &[("email_address", "fay@acme.test"), ("financial_status", "paid"), ("tracking_code", "fay")])?;
        read_all(&rig).await?;
        let now = orders(&rig).await?;
        ensure!(now.len() == 6 && now[1] == "bo@acme.test refunded bo" && now[5] == "fay@acme.test paid fay", "{now:?}");
        // What is the same is written nowhere.
        let links = format!("SELECT CAST(sum(version) AS TEXT) FROM {}", rig.db.own("tidemark_link"));
        let before = rig.db.one(&links).await?;
        let asked = pages(&rig);
        rig.poll(ORDERS).await?;
        ensure!(rig.db.one(&links).await? == before, "a poll without news writes no link");
        ensure!(pages(&rig) - asked <= 4, "{} pages of two for six orders: no second reader reads them again", pages(&rig) - asked);
        ensure!(rig.agree().await?.iter().all(|stream| stream.pairs == 6 && stream.differ == 0));
        Ok(())
    }

    async fn a_list_without_an_order_says_nothing_of_who_is_not_in_it(kind) {
        let (rig, ids) = shop(kind).await?;
        rig.crm.crm().delete(Deals, &ids[2])?;
        rig.sweep(ORDERS).await?;
        rig.read(ORDERS).await?;
        ensure!(rig.seals(ORDERS).await? == ["the connector declares no order in which nothing is passed over"], "{:?}", rig.seals(ORDERS).await?);
        ensure!(orders(&rig).await?.len() == 5, "the row stays");
        let told = rig.agree().await?;
        ensure!(told[0].differ == 1 && told[0].differences[0].reason.contains("gone from the CRM"), "{told:?}");
        Ok(())
    }
}
