//! What the system's clock says.

use std::time::{SystemTime, UNIX_EPOCH};

/// Year, month and day, where this machine is.
pub fn local_date() -> (u16, u8, u8) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = libc::time_t::try_from(since.as_secs()).unwrap_or(0);
    let mut local = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to values of the types that the function reads and fills.
    let known = unsafe { !libc::localtime_r(&raw const now, local.as_mut_ptr()).is_null() };
    // SAFETY: all bytes are zero at least, which is a value of this type: numbers, and a pointer that may be null.
    let local = unsafe { local.assume_init() };
    if !known {
        return (1970, 1, 1);
    }
    let part = |value: i32| u8::try_from(value).unwrap_or(1);
    (u16::try_from(local.tm_year + 1900).unwrap_or(1970), part(local.tm_mon + 1), part(local.tm_mday))
}

/// A time in UTC, to the millisecond, as RFC 3339 writes it.
pub fn utc(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Years of 365.2425 days from 1 March of year 0 on, which ends with its leap day.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!(
        "{:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}.{:03}Z",
        era * 400 + year + next,
        rest / 3600,
        rest / 60 % 60,
        rest % 60,
        since.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_those_of_the_calendar() {
        let at = |seconds, millis: u32| utc(UNIX_EPOCH + Duration::new(seconds, millis * 1_000_000));
        // From `date -u -d @N`.
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399, 999), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_709_251_199, 5), "2024-02-29T23:59:59.005Z");
        assert_eq!(at(1_709_251_200, 0), "2024-03-01T00:00:00.000Z");
        assert_eq!(at(1_798_761_599, 0), "2026-12-31T23:59:59.000Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }
}
