//! Turns what the file says into what the core works with. Refuses nothing: `rules` has done that.

use tidemark_core::cycle;
use tidemark_core::hook::{HookSpec, Part};
use tidemark_core::loop_breaker::LoopBreaker;
use tidemark_core::spec::{
    BrakesSpec, BudgetSpec, Condition, ConnectionSpec, DeletePolicy, Deletes, Direction, Fallback, FieldSpec, InboundDelete,
    Limit, Owner, PollSpec, RetrySpec, StaleSpec, StreamSpec, SweepSpec, Touch,
};
use tidemark_core::transform::Transform;

use crate::config::Secrets;
use crate::raw::{RawBrakes, RawConnection, RawField, RawLimit, RawPoll, RawStream, RawSweep};

/// A connection, its secrets and its streams; `None` where something was found missing or wrong.
pub(crate) fn checked(raw: RawConnection) -> Option<((ConnectionSpec, Secrets), Vec<StreamSpec>)> {
    let one_way = raw.is_one_way();
    let budget = BudgetSpec {
        per_second: raw.per_second.map(|rate| rate.value),
        search_per_second: raw.search_per_second.map(|rate| rate.value),
        per_day: raw.per_day.map(|calls| calls.value),
    };
    let mut streams =
        raw.streams.into_iter().map(|stream| checked_stream(stream, &raw.name, one_way)).collect::<Option<Vec<_>>>()?;
    cycle::mark(&mut streams);
    let connection = ConnectionSpec {
        name: raw.name,
        connector: raw.connector?.value,
        base_url: raw.base_url.map(|url| url.value),
        environment: raw.environment?.value,
        account: raw.account.map(|account| account.value),
        budget,
        call_deadline: raw.call_deadline?.value,
        request_life: raw.request_life.map(|life| life.value),
        settings: raw.settings,
    };
    Some(((connection, raw.secrets), streams))
}

fn checked_stream(raw: RawStream, connection: &str, one_way: bool) -> Option<StreamSpec> {
    let (object, inherited) = (raw.object?.value, raw.inherited);
    let direction = inherited.direction?.value;
    let stand_in = raw.fallback.map(|fallback| fallback.value);
    let mut fields = raw.fields.into_iter().map(|field| checked_field(field, stand_in)).collect::<Option<Vec<_>>>()?;
    fields.sort_by(|one, other| one.property.cmp(&other.property));
    // Inherited by a stream that sends nothing, a policy for deleted rows has nothing to say; by one that writes no rows, a policy for deleted records.
    let outbound = match inherited.deletes_outbound?.value {
        _ if direction == Direction::In => DeletePolicy::Ignore,
        DeletePolicy::Archive if one_way => DeletePolicy::Ignore,
        DeletePolicy::Tell if !one_way => DeletePolicy::Ignore,
        outbound => outbound,
    };
    let inbound_delete = if direction == Direction::Out { InboundDelete::Ignore } else { inherited.deletes_inbound?.value };
    let payload = raw.payload.map_or_else(Part::whole, |payload| payload.value.whole);
    let hook = HookSpec { payload, existing: inherited.existing?.value };
    let conditions = raw.send_when.into_iter();
    Some(StreamSpec {
        name: format!("{connection}.{object}"),
        connection: connection.to_owned(),
        object,
        table: raw.table?.value,
        key: raw.key?.value,
        direction,
        inbound: inherited.inbound?.value,
        fields,
        send_when: conditions.map(|condition| Condition { column: condition.column.value, test: condition.test }).collect(),
        match_on: raw.match_on.into_iter().map(|property| property.value).collect(),
        remote_id: raw.remote_id.map(|column| column.value),
        external_key: raw.external_key.map(|property| property.value),
        deletes: Deletes { outbound, inbound: inbound_delete },
        stale: StaleSpec { guard: inherited.stale_save_guard?.value, policy: inherited.stale_save?.value },
        touch: Touch {
            version_column: raw.version_column.map(|column| column.value),
            updated_at: raw.updated_at.map(|column| column.value),
        },
        row_modified: raw.row_modified.map(|told| told.value),
        poll: checked_poll(inherited.poll?)?,
        sweep: checked_sweep(inherited.sweep?)?,
        brakes: checked_brakes(inherited.brakes?)?,
        loop_breaker: LoopBreaker { times: inherited.loop_times?.value, within: inherited.loop_within?.value },
        retry: RetrySpec { first: inherited.retry_first?.value, cap: inherited.retry_cap?.value },
        fresh_within: inherited.fresh_within?.value,
        hook: one_way.then_some(hook),
    })
}

fn checked_field(raw: RawField, stand_in: Option<Fallback>) -> Option<FieldSpec> {
    let owner = match raw.owner?.value {
        Owner::Newest(_) => Owner::Newest(raw.fallback.map(|own| own.value).or(stand_in)?),
        owner => owner,
    };
    let map = raw.map.map(|map| Transform::Map(map.value));
    Some(FieldSpec {
        property: raw.property.value,
        column: raw.column?.value,
        owner,
        blanks: raw.blanks?,
        transform: map.or(raw.form.map(|form| form.value)).unwrap_or(Transform::Text),
        check: raw.check.map(|check| check.value),
        references: raw.references.map(|object| object.value),
        in_cycle: false,
        lineage: raw.lineage?,
    })
}

fn checked_poll(raw: RawPoll) -> Option<PollSpec> {
    Some(PollSpec {
        every: raw.every?.value,
        lag: raw.lag?.value,
        settled_every: raw.settled_every?.value,
        settled_lag: raw.settled_lag?.value,
        overlap: raw.overlap?.value,
        page_rows_max: raw.page_rows_max?.value,
    })
}

fn checked_sweep(raw: RawSweep) -> Option<SweepSpec> {
    Some(SweepSpec { every: raw.every?.value, share_permille: raw.share_permille?.value })
}

fn checked_brakes(raw: RawBrakes) -> Option<BrakesSpec> {
    let limit = |raw: Option<RawLimit>| {
        let raw = raw?;
        Some(Limit { count: raw.count?.value, share_permille: raw.share_permille?.value })
    };
    Some(BrakesSpec {
        create: limit(raw.create)?,
        update: limit(raw.update)?,
        blank: limit(raw.blank)?,
        delete: limit(raw.delete)?,
    })
}
