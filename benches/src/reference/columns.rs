//! A contact as a typed struct, and a page of them as the arrays that `unnest` takes.

use std::fmt::Display;
use std::str::FromStr;

use chrono::DateTime;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgHasArrayType, PgTypeInfo};
use sqlx::query::Query;
use sqlx::{Encode, Postgres, Type};

/// Microseconds between 1970 and 2000, where PostgreSQL's time begins.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// A `timestamptz`, in PostgreSQL's own form; the workspace builds sqlx without its time types.
#[derive(Clone, Copy)]
pub(super) struct Stamp(i64);

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = DateTime::parse_from_rfc3339(&text).map_err(D::Error::custom)?;
        Ok(Self(time.timestamp_micros() - POSTGRES_EPOCH))
    }
}

impl Type<Postgres> for Stamp {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1184))
    }
}

impl PgHasArrayType for Stamp {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1185))
    }
}

impl Encode<'_, Postgres> for Stamp {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<'_, Postgres>>::encode(self.0, buffer)
    }
}

/// HubSpot writes every value as text.
fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// In the order of `contacts::FIELDS`, which the statement's parameters have.
macro_rules! contact {
    ($($(#[$attribute:meta])* $field:ident: $kind:ty),+ $(,)?) => {
        #[derive(Deserialize)]
        pub(super) struct Contact {
            $($(#[$attribute])* $field: $kind,)+
        }

        pub(super) struct Columns {
            $($field: Vec<$kind>,)+
        }

        impl Columns {
            pub(super) fn with_capacity(records: usize) -> Self {
                Self { $($field: Vec::with_capacity(records),)+ }
            }

            pub(super) fn push(&mut self, contact: Contact) {
                $(self.$field.push(contact.$field);)+
            }

            pub(super) fn bind<'q>(&self, query: Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments> {
                query$(.bind(self.$field.as_slice()))+
            }
        }
    };
}

contact! {
    address: String,
    annualrevenue: String,
    city: String,
    company: String,
    country: String,
    createdate: Stamp,
    email: String,
    fax: String,
    firstname: String,
    #[serde(deserialize_with = "parsed")]
    hs_email_optout: bool,
    hs_object_id: String,
    industry: String,
    jobtitle: String,
    lastmodifieddate: Stamp,
    lastname: String,
    lifecyclestage: String,
    message: String,
    mobilephone: String,
    #[serde(deserialize_with = "parsed")]
    numemployees: i32,
    phone: String,
    state: String,
    website: String,
    zip: String,
}

impl Columns {
    pub(super) fn last_id(&self) -> Option<&str> {
        self.hs_object_id.last().map(String::as_str)
    }
}
