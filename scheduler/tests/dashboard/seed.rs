//! Made-up streams, debts, windows and calls: the world the dashboard is looked at in.

use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use tidemark_core::spec::{
    Blanks, Condition, DeletePolicy, Deletes, Direction, FieldSpec, Inbound, InboundDelete, Lineage, Owner, PollSpec, RetrySpec,
    StaleSave, StaleSpec, StreamSpec, SweepSpec, TableName, Test, Touch,
};
use tidemark_core::transform::Transform;
use tidemark_store::{Store, StoreConfig};

/// Opens a database with Tidemark's tables, and a second way in for writing what the store would never write.
pub(crate) async fn open(url: &str) -> (Store, DatabaseConnection) {
    let config = StoreConfig { url: url.into(), schema: "tidemark".into(), orders_schema: "public".into(), pool_max: 4 };
    let store = Store::connect(&config).await.expect("the test database answers");
    store.migrate().await.expect("the tables can be made");
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    if url.starts_with("postgres") {
        options.set_schema_search_path("tidemark");
    }
    (store, Database::connect(options).await.expect("the test database answers twice"))
}

pub(crate) async fn run(db: &DatabaseConnection, sql: &str) {
    db.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
}

fn field(property: &str, column: &str, owner: Owner, transform: Transform) -> FieldSpec {
    FieldSpec {
        property: property.into(),
        column: column.into(),
        owner,
        blanks: Blanks::Keep,
        transform,
        check: None,
        references: None,
        in_cycle: false,
        lineage: Lineage::Values,
    }
}

pub(crate) fn spec(connection: &str, object: &str, table: &str, direction: Direction) -> StreamSpec {
    let map = vec![("accepted".into(), "closedwon".into()), ("cancelled".into(), "closedlost".into())];
    let fields = match object {
        "deals" => vec![
            field("amount", "total_cents", Owner::Orders, Transform::DecimalOfCents),
            field("dealname", "number", Owner::Orders, Transform::Text),
            field("dealstage", "status", Owner::Orders, Transform::Map(map)),
            FieldSpec { references: Some("contacts".into()), ..field("contact", "customer_id", Owner::Orders, Transform::Text) },
        ],
        _ => vec![
            field("email", "email", Owner::Crm, Transform::Text),
            field("firstname", "first_name", Owner::Hold, Transform::Text),
            field("phone", "phone", Owner::Hold, Transform::Text),
        ],
    };
    StreamSpec {
        name: format!("{connection}.{object}"),
        connection: connection.into(),
        object: object.into(),
        table: TableName { schema: None, name: table.into() },
        key: "id".into(),
        direction,
        inbound: Inbound::Full,
        fields,
        send_when: vec![Condition { column: "email_confirmed_at".into(), test: Test::Present }],
        match_on: vec![if object == "deals" { "dealname" } else { "email" }.into()],
        remote_id: None,
        external_key: None,
        deletes: Deletes { outbound: DeletePolicy::Ignore, inbound: InboundDelete::Ignore },
        stale: StaleSpec { guard: Duration::from_secs(300), policy: StaleSave::Ours },
        touch: Touch::default(),
        row_modified: None,
        hook: None,
        poll: PollSpec {
            every: Duration::from_secs(30),
            lag: Duration::from_secs(5),
            settled_every: Duration::from_secs(300),
            settled_lag: Duration::from_secs(60),
            overlap: Duration::from_secs(2),
            page_rows_max: 200,
        },
        brakes: tidemark_core::spec::BrakesSpec::NONE,
        loop_breaker: tidemark_core::loop_breaker::LoopBreaker::NONE,
        sweep: SweepSpec { every: Some(Duration::from_secs(86_400)), share_permille: 100 },
        retry: RetrySpec { first: Duration::from_secs(2), cap: Duration::from_secs(900) },
        fresh_within: Duration::from_secs(120),
    }
}

pub(crate) fn specs() -> Vec<StreamSpec> {
    vec![spec("hubspot", "contacts", "customers", Direction::Both), spec("hubspot", "deals", "orders", Direction::Out)]
}

/// One connection, two streams that read eight seconds ago, two living processes.
pub(crate) async fn calm(db: &DatabaseConnection, now: i64) {
    run(db, "INSERT INTO tidemark_connection (name, connector, account, environment) VALUES ('hubspot', 'hubspot', '24539219', 'production')").await;
    for (id, object, table) in [(1, "contacts", "customers"), (2, "deals", "orders")] {
        let (loaded, read, due) = (now - 86_400_000, now - 8_000, now + 22_000);
        run(
            db,
            &format!(
                "INSERT INTO tidemark_stream (id, name, connection, object, table_name, mapping_digest, state, loaded_at, fast_until, settled_until, fresh_at, due_at)
                 VALUES ({id}, 'hubspot.{object}', 'hubspot', '{object}', '{table}', 'd', 'running', {loaded}, {read} - 5000, {read} - 60000, {read}, {due})"
            ),
        )
        .await;
        for nth in 1..=3 {
            run(
                db,
                &format!(
                    "INSERT INTO tidemark_link (stream_id, row_key, remote_id, state) VALUES ({id}, '{nth}', 'r{nth}', 'linked')"
                ),
            )
            .await;
        }
    }
    for (name, kind) in [("shop-1-worker", "worker"), ("shop-1-scheduler", "scheduler")] {
        run(db, &format!("INSERT INTO tidemark_worker (name, kind, started_at, beat_at) VALUES ('{name}', '{kind}', {now} - 7200000, {now})")).await;
    }
}

/// Two hours of windows, and calls that mostly succeed.
pub(crate) async fn history(db: &DatabaseConnection, now: i64) {
    for stream in [1_i64, 2] {
        for nth in 0..118_i64 {
            let started = now - (118 - nth) * 30_000;
            let records = if nth == 3 { 4_200 } else { (nth * nth * 7 + stream * 13) % 41 * i64::from(nth % 3 != 0) };
            let changed = records / 3;
            let reader = if nth % 10 == 9 { "settled" } else { "fast" };
            run(
                db,
                &format!(
                    "INSERT INTO tidemark_window (stream_id, reader, from_stamp, until_stamp, state, query_digest, pages, records, rows_changed, started_at, ended_at)
                     VALUES ({stream}, '{reader}', {started} - 37000, {started} - 5000, 'completed', 'q', 1, {records}, {changed}, {started}, {started} + 420)"
                ),
            )
            .await;
            let (purpose, verb, place) = if nth % 4 == 0 {
                ("push", "PATCH", "/crm/v3/objects/contacts/batch/update")
            } else {
                ("poll", "POST", "/crm/v3/objects/contacts/search")
            };
            run(
                db,
                &format!(
                    "INSERT INTO tidemark_callout (connection, stream_id, purpose, attempt, method, endpoint, items, status, elapsed_ms, quota_left, at)
                     VALUES ('hubspot', {stream}, '{purpose}', 1, '{verb}', '{place}', {records}, 200, 180 + {nth}, 198000 - {nth}, {started})"
                ),
            )
            .await;
        }
    }
}

/// What happened to row 2 of the contacts: made, changed, and now in conflict.
pub(crate) async fn lineage(db: &DatabaseConnection, now: i64) {
    let of_row = "FROM tidemark_link WHERE stream_id = 1 AND row_key = '2'";
    let base = r#"{"email":"ana@acme.test","firstname":["Ana","Anna","conflict"],"phone":"1"}"#;
    run(db, &format!("UPDATE tidemark_link SET base = '{base}', made = 'fast 3', created_at = {now} - 86000000 WHERE stream_id = 1 AND row_key = '2'")).await;
    for (ago, reader, window, fields) in [
        (7_200_000, "settled", 12, r#"{"phone":["taken","2","1"]}"#),
        (60_000, "fast", 17, r#"{"firstname":["conflict","An","Ana","Anna"]}"#),
    ] {
        let values = format!("id, {now} - {ago}, 'changed', '{reader}', {window}, '{fields}'");
        run(
            db,
            &format!("INSERT INTO tidemark_lineage (link_id, at, what, source, source_number, fields) SELECT {values} {of_row}"),
        )
        .await;
    }
}

/// The first call was recorded, the recording still runs, and a person who was erased is not gone yet.
pub(crate) async fn recorded(db: &DatabaseConnection, now: i64) {
    let request = r#"POST /crm/v3/objects/contacts/batch/upsert
user-agent: tidemark/0.1.0
authorization: ‹secret›
content-type: application/json

{
  "inputs": [ ‹2 items›
    {
      "id": ‹digits 4 #1›,
      "idProperty": "tidemark_key",
      "properties": {
        "email": ‹e-mail 21›,
        "firstname": ‹text 6, not ASCII, blank around›
      }
    },
    {
      "id": ‹digits 4›,
      "idProperty": "tidemark_key",
      "properties": {
        "phone": ""
      }
    }
  ]
}"#;
    let response = r#"400
date: Thu, 26 Nov 2026 10:41:07 GMT
content-type: application/json;charset=utf-8
x-hubspot-ratelimit-remaining: 97
cf-ray: 8e1f2a77bd-TXL

{
  "status": "error",
  "message": "Property 'email' of … … is not valid: …",
  "correlationId": "3f1c2d9a-77aa-4c10-9d5e-0a1b2c3d4e5f",
  "category": "VALIDATION_ERROR",
  "context": {
    "ids": [
      ‹digits 4 #1›
    ]
  }
}"#;
    run(
        db,
        &format!(
            "INSERT INTO tidemark_tape (callout_id, request, response) SELECT min(id), '{}', '{}' FROM tidemark_callout",
            request.replace('\'', "''"),
            response.replace('\'', "''")
        ),
    )
    .await;
    run(db, &format!("UPDATE tidemark_connection SET record_until = {now} + 754000, record_left = 1873, record_by = 'ana on the command line' WHERE name = 'hubspot'")).await;
    let erasure = "INSERT INTO tidemark_erasure (stream_id, row_key, remote_id, who, begun_at, attempts, cause, due_at)";
    let cause = "archiving 1 contacts: HubSpot answered 503: the service is unavailable";
    run(db, &format!("{erasure} VALUES (1, '7', '55301', 'ana', {now} - 600000, 2, '{cause}', {now} + 90000)")).await;
}

/// Contacts twelve minutes behind, debts in every state, a connection whose token is refused, a plan that waits.
pub(crate) async fn storm(db: &DatabaseConnection, now: i64) {
    run(
        db,
        &format!(
            "UPDATE tidemark_stream SET fresh_at = {now} - 732000, fast_until = {now} - 737000, poll_owed_at = {now} + 41000, poll_attempts = 3, poll_class = 'throttled',
             poll_error = 'HubSpot asked us to wait 60 s: the search limit of 5 calls a second is spent', conflicts = 2, excluded = 14 WHERE id = 1"
        ),
    )
    .await;
    run(
        db,
        &format!(
            "INSERT INTO tidemark_connection (name, connector, state, reason, probe_at) VALUES
             ('pipedrive', 'pipedrive', 'paused', 'Pipedrive refused the token: 401 unauthorized access', {now} + 2610000)"
        ),
    )
    .await;
    run(
        db,
        &format!(
            "INSERT INTO tidemark_stream (id, name, connection, object, table_name, mapping_digest, state, loaded_at, fresh_at, due_at) VALUES
             (3, 'pipedrive.persons', 'pipedrive', 'persons', 'customers', 'd', 'running', {now} - 900000000, {now} - 5400000, 0),
             (4, 'hubspot.companies', 'hubspot', 'companies', 'companies', 'd', 'plan_ready', NULL, NULL, 0)"
        ),
    )
    .await;
    for (subject, kind, state, attempts, class, cause, next) in [
        (
            "1041",
            "push",
            "parked",
            1,
            "rejected",
            "HubSpot refused contact 1041: Property values were not valid: email \"jane@\" is invalid",
            "correct the row; it is tried again by itself",
        ),
        (
            "1077",
            "push",
            "parked",
            1,
            "rejected",
            "HubSpot refused contact 1077: Property values were not valid: email \"\" is invalid",
            "correct the row; it is tried again by itself",
        ),
        (
            "55120",
            "read",
            "parked",
            2,
            "conflict",
            "both sides changed phone: row \"+49 30 1\", record \"+49 30 2\"",
            "decide which one stands, write it on that side, retry",
        ),
        ("1102", "push", "waiting", 6, "retry", "HubSpot gave no usable answer: 502 Bad Gateway", ""),
        ("1103", "push", "waiting", 0, "", "", ""),
        ("55121", "read", "waiting", 0, "", "", ""),
        ("880", "push", "parent", 0, "parent", "waits until row 1041 of contacts is in the CRM", ""),
    ] {
        let text = |text: &str| if text.is_empty() { "NULL".to_owned() } else { format!("'{text}'") };
        let stream = if subject == "880" || subject == "1102" { 2 } else { 1 };
        let due = now + if attempts > 1 { 95_000 } else { 12_000 };
        run(
            db,
            &format!(
                "INSERT INTO tidemark_debt (stream_id, kind, subject, state, attempts, class, code, cause, next_step, due_at, changed_at, created_at) VALUES
                 ({stream}, '{kind}', '{subject}', '{state}', {attempts}, {}, {}, {}, {}, {due}, {now} - 71000, {now} - 3900000)",
                text(class),
                text(if class == "rejected" { "INVALID_EMAIL" } else { "" }),
                text(cause),
                text(next)
            ),
        )
        .await;
    }
    run(
        db,
        &format!(
            "INSERT INTO tidemark_window (stream_id, reader, from_stamp, until_stamp, state, seal, query_digest, pages, records, drift, started_at, ended_at)
             VALUES (1, 'sweep', 0, {now} - 7200000, 'completed', 'sealed', 'q', 21, 4200, 1, {now} - 7200000, {now} - 3600000)"
        ),
    )
    .await;
    run(
        db,
        &format!(
            "INSERT INTO tidemark_drift (stream_id, side, subject, missed_by, fields, repair, at) VALUES (1, 'record', '55300', 'settled', 'phone', 'merged', {now} - 3700000)"
        ),
    )
    .await;
    for nth in 0..9 {
        run(
            db,
            &format!(
                "INSERT INTO tidemark_callout (connection, stream_id, purpose, attempt, method, endpoint, items, status, class, message, elapsed_ms, quota_left, at)
                 VALUES ('hubspot', 1, 'poll', {nth} + 1, 'POST', '/crm/v3/objects/contacts/search', 200, 429, 'throttled', 'You have reached your secondly limit.', 92, 197880, {now} - {nth} * 11000)"
            ),
        )
        .await;
    }
}
