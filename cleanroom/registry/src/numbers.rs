//! Between the unsigned numbers of the program, the signed ones of SQL, and times.

use time::OffsetDateTime;

use crate::error::{RegistryError, Result};

pub(crate) fn unsigned(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| RegistryError::damaged("a number", "it is negative"))
}

pub(crate) fn stored(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| RegistryError::damaged("a number", "it is too large to be stored"))
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    milliseconds(OffsetDateTime::now_utc())
}

/// A time cut to milliseconds.
pub(crate) fn milliseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

pub(crate) fn time(milliseconds: i64) -> Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .map_err(|error| RegistryError::damaged("a time", error))
}
