//! When a budget starts anew.

use cleanroom_policy::Refresh;
use time::{Date, Duration, OffsetDateTime};

use crate::error::Result;
use crate::numbers::time;

const DAY_MILLISECONDS: i64 = 24 * 60 * 60 * 1000;
/// 1970-01-01 was a Thursday, three days after a Monday.
const SINCE_MONDAY: i64 = 3;

/// The days of UTC, counted from 1970-01-01, that one budget lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    /// `None` where it has always lasted.
    first: Option<i64>,
    /// The first day of the next one; `None` where there is none.
    next: Option<i64>,
}

impl Period {
    /// The period that a day is in.
    pub(crate) fn of(refresh: Refresh, day: i64) -> Result<Self> {
        let (first, next) = match refresh {
            Refresh::Never => return Ok(Self { first: None, next: None }),
            Refresh::Daily => (day, day + 1),
            Refresh::Weekly => {
                let monday = day - (day + SINCE_MONDAY).rem_euclid(7);
                (monday, monday + 7)
            }
            Refresh::Monthly => {
                let date = start_of(day)?.date();
                let first = day - i64::from(date.day()) + 1;
                (first, first + i64::from(days_in_month(date)))
            }
        };
        Ok(Self { first: Some(first), next: Some(next) })
    }

    /// Days after its own end are in it too: a clock that is set back opens nothing anew.
    pub(crate) fn holds(&self, day: i64) -> bool {
        self.first.is_none_or(|first| day >= first)
    }

    /// Whether the next one has not begun by a day.
    pub(crate) fn holds_until(&self, day: i64) -> bool {
        self.next.is_none_or(|next| day < next)
    }

    /// The moment at which the next one begins.
    pub(crate) fn end(&self) -> Result<Option<OffsetDateTime>> {
        self.next.map(start_of).transpose()
    }
}

pub(crate) fn day_of(milliseconds: i64) -> i64 {
    milliseconds.div_euclid(DAY_MILLISECONDS)
}

pub(crate) fn start_of(day: i64) -> Result<OffsetDateTime> {
    time(day.saturating_mul(DAY_MILLISECONDS))
}

/// The moment so many days later, or the last there is.
pub(crate) fn later(at: i64, days: u64) -> Result<OffsetDateTime> {
    let days = i64::try_from(days).unwrap_or(i64::MAX);
    Ok(time(at)?.checked_add(Duration::milliseconds(days.saturating_mul(DAY_MILLISECONDS))).unwrap_or(latest()))
}

fn latest() -> OffsetDateTime {
    Date::MAX.midnight().assume_utc()
}

fn days_in_month(date: Date) -> u8 {
    date.month().length(date.year())
}

#[cfg(test)]
mod tests {
    use cleanroom_policy::Refresh;
    use time::macros::datetime;

    use super::*;
    use crate::numbers::milliseconds;

    fn day(at: OffsetDateTime) -> i64 {
        day_of(milliseconds(at))
    }

    fn period(refresh: Refresh, at: OffsetDateTime) -> (Option<OffsetDateTime>, Option<OffsetDateTime>) {
        let period = Period::of(refresh, day(at)).unwrap();
        (period.first.map(|day| start_of(day).unwrap()), period.end().unwrap())
    }

    #[test]
    fn periods_begin_at_midnight_of_utc() {
        let at = datetime!(2028-02-29 23:59:59.999 UTC);
        assert_eq!(period(Refresh::Never, at), (None, None));
        let days = |from, to| (Some(from), Some(to));
        assert_eq!(period(Refresh::Daily, at), days(datetime!(2028-02-29 0:00 UTC), datetime!(2028-03-01 0:00 UTC)));
        assert_eq!(
            period(Refresh::Weekly, at),
            days(datetime!(2028-02-28 0:00 UTC), datetime!(2028-03-06 0:00 UTC)),
            "a week begins on Monday"
        );
        assert_eq!(period(Refresh::Monthly, at), days(datetime!(2028-02-01 0:00 UTC), datetime!(2028-03-01 0:00 UTC)));
        let new_year = datetime!(2027-01-01 0:00 UTC);
        assert_eq!(
            period(Refresh::Monthly, new_year),
            days(datetime!(2027-01-01 0:00 UTC), datetime!(2027-02-01 0:00 UTC))
        );
        let before = datetime!(1969-12-31 12:00 UTC);
        assert_eq!(
            period(Refresh::Weekly, before),
            days(datetime!(1969-12-29 0:00 UTC), datetime!(1970-01-05 0:00 UTC))
        );
    }

    #[test]
    fn every_day_is_in_the_period_that_begins_on_it() {
        for at in 19_000..20_000 {
            for refresh in [Refresh::Daily, Refresh::Weekly, Refresh::Monthly] {
                let period = Period::of(refresh, at).unwrap();
                assert!(period.holds(at) && !period.holds(period.first.unwrap() - 1));
                let next = period.next.unwrap();
                assert!(next > at);
                assert_eq!(Period::of(refresh, next).unwrap().first, Some(next), "no day is between two periods");
                assert_eq!(Period::of(refresh, next - 1).unwrap(), period, "nor in two");
            }
        }
    }
}
