//! The mapping of every simulated world: contacts both ways with each kind of owner, deals outward with a reference.

use std::time::Duration;

use tidemark_core::Millis;
use tidemark_core::spec::{
    Blanks, BudgetSpec, Condition, ConnectionSpec, DeletePolicy, Deletes, Direction, FieldSpec, Inbound, InboundDelete, Lineage,
    Owner, PollSpec, RetrySpec, StaleSpec, StreamSpec, SweepSpec, TableName, Test, Touch,
};
use tidemark_core::transform::Transform;

use super::crm::KEY;
use super::face::CALL_DEADLINE;
use super::swarm::Swarm;

/// Property, column, owner: in the order of the properties' names.
pub(crate) const CONTACT: [(&str, &str, Owner); 6] = [
    ("company", "company", Owner::Crm),
    ("email", "email", Owner::Crm),
    ("firstname", "first_name", Owner::Orders),
    ("lastname", "last_name", Owner::Hold),
    ("phone", "phone", Owner::Hold),
    ("tag", "tag", Owner::Hold),
];
/// How long what a page replaced is no edit when it comes back.
pub(crate) const STALE_GUARD: Millis = 60_000;
/// Row status and deal stage; two statuses share a stage.
pub(crate) const STAGES: [(&str, &str); 3] = [("accepted", "won"), ("shipped", "won"), ("cancelled", "lost")];

pub(crate) fn connection() -> ConnectionSpec {
    ConnectionSpec {
        name: "crm".into(),
        connector: "model".into(),
        base_url: None,
        environment: "simulation".into(),
        account: None,
        budget: BudgetSpec::default(),
        call_deadline: CALL_DEADLINE,
        request_life: None,
        settings: std::collections::BTreeMap::new(),
    }
}

pub(crate) fn streams(swarm: &Swarm) -> Vec<StreamSpec> {
    let blanks = if swarm.clear_blanks { Blanks::Clear } else { Blanks::Keep };
    let field = |property: &str, column: &str, owner, transform| FieldSpec {
        property: property.into(),
        column: column.into(),
        owner,
        blanks,
        transform,
        check: None,
        references: None,
        in_cycle: false,
        lineage: Lineage::Values,
    };
    let lag = Duration::from_millis((swarm.commit_lag + swarm.index_lag).unsigned_abs());
    let stream = |object: &str, table: &str, direction, fields, send_when, match_on: &str| StreamSpec {
        name: format!("crm.{object}"),
        connection: "crm".into(),
        object: object.into(),
        table: TableName { schema: None, name: table.into() },
        key: "id".into(),
        direction,
        inbound: Inbound::Full,
        fields,
        send_when: vec![send_when],
        match_on: vec![match_on.into()],
        remote_id: Some("remote".into()),
        external_key: swarm.external_key.then(|| KEY.to_owned()),
        deletes: Deletes {
            outbound: if swarm.archive { DeletePolicy::Archive } else { DeletePolicy::Ignore },
            inbound: InboundDelete::Ignore,
        },
        stale: StaleSpec { guard: Duration::from_millis(STALE_GUARD.unsigned_abs()), policy: swarm.stale_saves },
        touch: Touch::default(),
        row_modified: None,
        hook: None,
        brakes: super::brakes::spec(swarm),
        // Its people are few and turn a value back and forth within seconds.
        loop_breaker: tidemark_core::loop_breaker::LoopBreaker::NONE,
        sweep: SweepSpec { every: swarm.sweeps.then_some(Duration::from_secs(20)), share_permille: 500 },
        poll: PollSpec {
            every: Duration::from_secs(2),
            lag: Duration::ZERO,
            settled_every: Duration::from_secs(5),
            settled_lag: lag,
            overlap: Duration::from_millis(swarm.overlap.unsigned_abs()),
            page_rows_max: 100,
        },
        retry: RetrySpec { first: Duration::from_millis(500), cap: Duration::from_secs(10) },
        fresh_within: Duration::from_secs(60),
    };
    let mapped = CONTACT.iter().filter(|(property, _, _)| Some(*property) != swarm.unmapped);
    let contacts = mapped.map(|(property, column, owner)| field(property, column, *owner, Transform::Text)).collect();
    let stages = STAGES.iter().map(|(row, record)| ((*row).to_owned(), (*record).to_owned())).collect();
    let mut contact = field("contact", "customer_id", Owner::Orders, Transform::Text);
    contact.references = Some("contacts".into());
    let deals = vec![
        field("amount", "total_cents", Owner::Orders, Transform::DecimalOfCents),
        contact,
        field("dealname", "number", Owner::Orders, Transform::Text),
        field("dealstage", "status", Owner::Orders, Transform::Map(stages)),
    ];
    let confirmed = Condition { column: "confirmed".into(), test: Test::Present };
    let accepted =
        Condition { column: "status".into(), test: Test::OneOf(STAGES.iter().map(|(row, _)| (*row).to_owned()).collect()) };
    vec![
        stream("contacts", "customers", Direction::Both, contacts, confirmed, "tag"),
        stream("deals", "orders", Direction::Out, deals, accepted, "dealname"),
    ]
}

/// What a row's phone number becomes in a CRM that normalises.
pub(crate) fn stored(swarm: &Swarm, property: &str, value: &str) -> String {
    if swarm.normalises && property == "phone" { value.replace(' ', "") } else { value.to_owned() }
}
