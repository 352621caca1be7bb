//! Points in time.

use std::time::Duration;

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset, format_description::well_known::Rfc3339};

/// How far in the future a stored time may lie. Concurrent requests overtake each other, and servers' clocks differ a
/// little. A later time was stored before the clock was set back.
pub const CLOCK_TOLERANCE: Duration = Duration::from_mins(5);

/// A point in time: milliseconds since 1970 in UTC, as stored in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Adds a duration. Saturates instead of overflowing.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// Subtracts a duration. Saturates instead of overflowing.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// The duration from `earlier` to this point. Zero if `earlier` is later, as after a clock was set back.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC, to the second, such as `2026-11-24T09:30:00Z`. RFC 3339 covers the years 0 to 9999. Points
    /// outside of them are clamped.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let seconds = self.0.div_euclid(1000).clamp(-62_167_219_200, 253_402_300_799);
        OffsetDateTime::from_unix_timestamp(seconds)
            .ok()
            .and_then(|time| time.format(&Rfc3339).ok())
            .unwrap_or_default()
    }
}

impl Timestamp {
    /// Parses RFC 3339, and the similar form that databases write: `2026-11-27 09:30:00.123456+00`. Without an offset it
    /// is UTC.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.trim().split_once([' ', 'T', 't'])?;
        let time = time.trim_end_matches(['Z', 'z']);
        let (time, offset) = match time.rfind(['+', '-']) {
            Some(at) => (time.get(..at)?, parse_offset(time.get(at..)?)?),
            None => (time, UtcOffset::UTC),
        };
        let [year, month, day] = three(date, '-')?;
        let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
        let [hour, minute, second] = three(time, ':')?;
        let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
        let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
        let date = Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()?;
        let millis = millis.parse().ok()?;
        let time = Time::from_hms_milli(hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?, millis).ok()?;
        let at = PrimitiveDateTime::new(date, time).assume_offset(offset).unix_timestamp_nanos();
        i64::try_from(at.div_euclid(1_000_000)).ok().map(Self)
    }

    /// Parses a date, which is its beginning in UTC, or what [`Timestamp::parse`] accepts.
    #[must_use]
    pub fn parse_day_or_time(text: &str) -> Option<Self> {
        Self::parse(text).or_else(|| Self::parse(&[text, "T00:00:00Z"].concat()))
    }

    /// A human-readable form in UTC, to the minute: `24 November 2026, 09:30 UTC`.
    #[must_use]
    pub fn in_words(self) -> String {
        let seconds = self.0.div_euclid(1000).clamp(-62_167_219_200, 253_402_300_799);
        let format = |time: OffsetDateTime| {
            let (day, month, year) = (time.day(), time.month(), time.year());
            format!("{day} {month} {year}, {:02}:{:02} UTC", time.hour(), time.minute())
        };
        OffsetDateTime::from_unix_timestamp(seconds).map(format).unwrap_or_default()
    }
}

/// The three parts of a date or a time.
fn three(text: &str, separator: char) -> Option<[&str; 3]> {
    let mut parts = text.split(separator);
    let three = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(three)
}

/// Parses an offset such as `+02:00`, `+0200` or `-05`.
fn parse_offset(text: &str) -> Option<UtcOffset> {
    let digits = text.get(1..)?.replace(':', "");
    let (hours, minutes) = (digits.get(..2)?.parse::<i8>().ok()?, digits.get(2..)?);
    let minutes = if minutes.is_empty() { 0 } else { minutes.parse::<i8>().ok()? };
    let sign = if text.starts_with('-') { -1 } else { 1 };
    UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()
}

/// A duration in whole milliseconds, as stored in the database.
#[must_use]
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A duration in whole seconds for a `Retry-After` header: rounded up and never zero.
#[must_use]
pub fn retry_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_formatted_as_rfc_3339() {
        assert_eq!(Timestamp::from_millis(0).to_rfc3339(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_millis(1_764_000_000_999).to_rfc3339(), "2025-11-24T16:00:00Z");
    }

    #[test]
    fn the_times_of_databases_and_of_rfc_3339_are_parsed() {
        for (text, millis) in [
            ("1970-01-01 00:00:00", Some(0)),
            ("2026-11-27 09:30:01.123456", Some(1_795_771_801_123)),
            ("2026-11-27 09:30:01.5+00", Some(1_795_771_801_500)),
            ("2026-11-27T11:30:01+02:00", Some(1_795_771_801_000)),
            ("2026-11-27T04:00:01-0530", Some(1_795_771_801_000)),
            ("2026-11-27T09:30:01Z", Some(1_795_771_801_000)),
            ("1969-12-31 23:59:59.999", Some(-1)),
            ("", None),
            ("2026-13-27 09:30:01", None),
            ("2026-11-27 09:30", None),
            ("2026-11-27", None),
            ("2026-11-27 09:30:01+ä", None),
        ] {
            assert_eq!(Timestamp::parse(text).map(Timestamp::as_millis), millis, "{text}");
        }
    }

    #[test]
    fn no_time_overflows_or_runs_backwards_r99() {
        let (start, end) = (Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX));
        assert_eq!(end.plus(Duration::MAX), end);
        assert_eq!(start.minus(Duration::MAX), start);
        assert_eq!(start.since(end), Duration::ZERO);
        assert_eq!(end.to_rfc3339(), "9999-12-31T23:59:59Z");
        assert_eq!(start.to_rfc3339(), "0000-01-01T00:00:00Z");
    }

    #[test]
    fn a_timestamp_is_its_milliseconds() {
        let time = Timestamp::from_millis(7);
        assert_eq!(time.as_millis(), 7);
        assert_eq!(time.plus(Duration::from_millis(3)).minus(Duration::from_millis(1)).as_millis(), 9);
        assert_eq!(time.since(Timestamp::from_millis(2)), Duration::from_millis(5));
    }

    #[test]
    fn a_retry_time_is_at_least_one_whole_second() {
        assert_eq!(retry_seconds(Duration::ZERO), 1);
        assert_eq!(retry_seconds(Duration::from_millis(1001)), 2);
    }
}
