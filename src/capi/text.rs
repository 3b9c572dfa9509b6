//! Texts of the caller.

use std::ffi::{CStr, c_char};

use super::Status;
use super::status::Failure;

/// The text at `pointer`, or none for NULL; `name` is the argument's.
///
/// # Safety
/// `pointer` is NULL or points to bytes with a NUL after them that stay as they are for `'a`.
pub(super) unsafe fn optional<'a>(pointer: *const c_char, name: &str) -> Result<Option<&'a str>, Failure> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: it is not NULL, and the caller vouches for the rest.
    let bytes = unsafe { CStr::from_ptr(pointer) };
    let text = bytes.to_str().map_err(|e| {
        Failure::new(Status::InvalidUtf8, format!("{name} is not UTF-8 from byte {} on", e.valid_up_to()))
    })?;
    Ok(Some(text))
}
