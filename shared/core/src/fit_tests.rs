//! What fits what: the whole table, choices by their options, maps by their words.

use super::*;

#[test]
fn a_columns_kind_is_told_by_what_its_database_calls_its_type() {
    for (name, kind) in [
        ("character varying(80)", ColumnKind::Text),
        ("VARCHAR(80)", ColumnKind::Text),
        ("TEXT", ColumnKind::Text),
        ("bigint", ColumnKind::Integer),
        ("INTEGER", ColumnKind::Integer),
        ("numeric(10,0)", ColumnKind::Integer),
        ("numeric(10)", ColumnKind::Integer),
        ("numeric(10,2)", ColumnKind::Number),
        ("numeric", ColumnKind::Number),
        ("double precision", ColumnKind::Number),
        ("boolean", ColumnKind::Bool),
        ("date", ColumnKind::Date),
        ("timestamp with time zone", ColumnKind::Moment),
        ("timestamp(3) without time zone", ColumnKind::Moment),
        ("DATETIME", ColumnKind::Moment),
        ("uuid", ColumnKind::Uuid),
        ("jsonb", ColumnKind::Other),
        ("order_status", ColumnKind::Other),
        ("", ColumnKind::Other),
    ] {
        assert_eq!(column_kind(name), kind, "{name}");
    }
}

fn sign(fit: Fit) -> char {
    match fit {
        Fit::Fine => '.',
        Fit::Suspicious { .. } => '?',
        Fit::WillFail { .. } => '!',
    }
}

/// `.`, `?` or `!` for fine, suspicious, will fail: into the row and into the record.
fn check(transform: &Transform, column: ColumnKind, property: PropertyKind, options: &[&str], expect: &str) {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    let pairing = Pairing { transform, column, property, options: &options };
    let found = format!("{}{}", sign(pairing.to_row()), sign(pairing.to_record()));
    assert_eq!(found, expect, "{transform:?} {column:?} {property:?} {options:?}");
}

/// Every transform on every column kind and property kind, so that no cell changes unseen.
#[test]
fn the_whole_table() {
    use {ColumnKind as C, PropertyKind as P};
    let properties = [P::Text, P::Number, P::Bool, P::Date, P::Moment, P::Choice, P::Other];
    let columns = [C::Text, C::Integer, C::Number, C::Bool, C::Flag, C::Date, C::Moment, C::Uuid, C::Other];
    let mut table = String::new();
    for transform in [Transform::Text, Transform::Integer, Transform::DecimalOfCents, Transform::Bool, Transform::Date] {
        table.push_str(&format!("{:<16}", format!("{transform:?}")));
        properties.iter().for_each(|property| table.push_str(&format!("{:<8}", format!("{property:?}"))));
        for column in columns {
            table.push_str(&format!("\n  {:<14}", format!("{column:?}")));
            for property in properties {
                let pairing = Pairing { transform: &transform, column, property, options: &[] };
                table.push_str(&format!("{}{}      ", sign(pairing.to_row()), sign(pairing.to_record())));
            }
        }
        table.push('\n');
    }
    let table: Vec<&str> = table.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(table.join("\n"), @r"
    Text            Text    Number  Bool    Date    Moment  Choice  Other
      Text          ..      .?      .?      .?      .?      .?      ..
      Integer       ?.      ?.      !!      !!      !!      ??      ..
      Number        ?.      ..      !!      !!      !!      ??      ..
      Bool          ?.      !!      ..      !!      !!      ??      ..
      Flag          ?.      !!      .!      !!      !!      ??      ..
      Date          ?.      !!      !!      ..      ..      ??      ..
      Moment        ?.      !!      !!      .?      .?      ??      ..
      Uuid          ?.      !!      !!      !!      !!      ??      ..
      Other         ..      ..      ..      ..      ..      ..      ..
    Integer         Text    Number  Bool    Date    Moment  Choice  Other
      Text          ..      ..      !!      !!      !!      .?      ..
      Integer       ..      ..      !!      !!      !!      .?      ..
      Number        .?      .?      !!      !!      !!      .?      ..
      Bool          !!      !!      !!      !!      !!      !!      ..
      Flag          !.      !.      !!      !!      !!      !?      ..
      Date          !!      !!      !!      !!      !!      !!      ..
      Moment        !!      !!      !!      !!      !!      !!      ..
      Uuid          !!      !!      !!      !!      !!      !!      ..
      Other         ..      ..      ..      ..      ..      ..      ..
    DecimalOfCents  Text    Number  Bool    Date    Moment  Choice  Other
      Text          ..      ..      !!      !!      !!      .?      ..
      Integer       ..      ..      !!      !!      !!      .?      ..
      Number        .?      .?      !!      !!      !!      .?      ..
      Bool          !!      !!      !!      !!      !!      !!      ..
      Flag          !.      !.      !!      !!      !!      !?      ..
      Date          !!      !!      !!      !!      !!      !!      ..
      Moment        !!      !!      !!      !!      !!      !!      ..
      Uuid          !!      !!      !!      !!      !!      !!      ..
      Other         ..      ..      ..      ..      ..      ..      ..
    Bool            Text    Number  Bool    Date    Moment  Choice  Other
      Text          ..      ?!      ..      !!      !!      ..      ..
      Integer       !.      !!      !.      !!      !!      !.      ..
      Number        !?      !!      !?      !!      !!      !?      ..
      Bool          ..      ?!      ..      !!      !!      ..      ..
      Flag          ..      ?!      ..      !!      !!      ..      ..
      Date          !!      !!      !!      !!      !!      !!      ..
      Moment        !!      !!      !!      !!      !!      !!      ..
      Uuid          !!      !!      !!      !!      !!      !!      ..
      Other         ..      ..      ..      ..      ..      ..      ..
    Date            Text    Number  Bool    Date    Moment  Choice  Other
      Text          ..      !!      !!      ..      ..      .!      ..
      Integer       !!      !!      !!      !!      !!      !!      ..
      Number        !!      !!      !!      !!      !!      !!      ..
      Bool          !!      !!      !!      !!      !!      !!      ..
      Flag          !!      !!      !!      !!      !!      !!      ..
      Date          ..      !!      !!      ..      ..      .!      ..
      Moment        ?.      !!      !!      ?.      ?.      ?!      ..
      Uuid          !!      !!      !!      !!      !!      !!      ..
      Other         ..      ..      ..      ..      ..      ..      ..
    ");
}

#[test]
fn a_choice_is_judged_by_its_options() {
    use {ColumnKind as C, PropertyKind as P};
    check(&Transform::Text, C::Integer, P::Choice, &["1", "2"], ".?");
    check(&Transform::Text, C::Integer, P::Choice, &["1", "many"], "??");
    check(&Transform::Text, C::Integer, P::Choice, &["lead", "customer"], "!!");
    check(&Transform::Text, C::Text, P::Choice, &["lead", "customer"], ".?");
    check(&Transform::Text, C::Flag, P::Choice, &["true", "false"], ".!");
    check(&Transform::Bool, C::Flag, P::Choice, &["true", "false"], "..");
    check(&Transform::Bool, C::Bool, P::Choice, &["YES", "NO"], ".!");
    check(&Transform::Integer, C::Integer, P::Choice, &["lead"], "!!");
    check(&Transform::Date, C::Text, P::Choice, &["lead"], "!!");
}

#[test]
fn a_map_is_judged_by_its_words() {
    use {ColumnKind as C, PropertyKind as P};
    let map = |pairs: &[(&str, &str)]| {
        Transform::Map(pairs.iter().map(|(row, record)| ((*row).to_owned(), (*record).to_owned())).collect())
    };
    check(&map(&[("1", "lead"), ("2", "customer")]), C::Integer, P::Choice, &["lead", "customer"], "..");
    check(&map(&[("new", "lead"), ("2", "customer")]), C::Integer, P::Choice, &[], "??");
    check(&map(&[("new", "lead")]), C::Integer, P::Choice, &[], "!!");
    check(&map(&[("1", "true"), ("0", "false")]), C::Integer, P::Bool, &[], "..");
    check(&map(&[("1", "on"), ("0", "off")]), C::Bool, P::Text, &[], ".!");
    check(&map(&[("true", "on"), ("false", "off")]), C::Bool, P::Bool, &[], ".!");
    check(&map(&[("accepted", "high")]), C::Text, P::Number, &[], ".!");
}
