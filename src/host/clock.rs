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
