//! What a call comes to: a code, and a sentence.

use std::any::Any;
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::core::CoreError;
use crate::engine::EngineError;

/// The header's status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// `LLM_RS2_OK`
    Ok = 0,
    /// `LLM_RS2_INVALID_ARGUMENT`
    InvalidArgument = 1,
    /// `LLM_RS2_INVALID_UTF8`
    InvalidUtf8 = 2,
    /// `LLM_RS2_NO_SUCH_MODEL`
    NoSuchModel = 3,
    /// `LLM_RS2_BUSY`
    Busy = 4,
    /// `LLM_RS2_TOO_SMALL`
    TooSmall = 5,
    /// `LLM_RS2_LOAD_FAILED`
    LoadFailed = 6,
    /// `LLM_RS2_NO_MEMORY`
    NoMemory = 7,
    /// `LLM_RS2_FAILED`
    Failed = 8,
    /// `LLM_RS2_PANICKED`
    Panicked = 9,
}

impl Status {
    /// Every code, with its name in the header.
    pub const ALL: [(Status, &'static str); 10] = [
        (Status::Ok, "LLM_RS2_OK"),
        (Status::InvalidArgument, "LLM_RS2_INVALID_ARGUMENT"),
        (Status::InvalidUtf8, "LLM_RS2_INVALID_UTF8"),
        (Status::NoSuchModel, "LLM_RS2_NO_SUCH_MODEL"),
        (Status::Busy, "LLM_RS2_BUSY"),
        (Status::TooSmall, "LLM_RS2_TOO_SMALL"),
        (Status::LoadFailed, "LLM_RS2_LOAD_FAILED"),
        (Status::NoMemory, "LLM_RS2_NO_MEMORY"),
        (Status::Failed, "LLM_RS2_FAILED"),
        (Status::Panicked, "LLM_RS2_PANICKED"),
    ];
}

/// The header's `llm_rs2_error`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ErrorText {
    /// The status.
    pub code: i32,
    /// The sentence, ended by a NUL.
    pub message: [c_char; 1020],
}

impl ErrorText {
    /// As much of the sentence as there is room for, in whole characters.
    fn new(code: Status, sentence: &str) -> Self {
        let mut error = Self { code: code as i32, message: [0; 1020] };
        let room = error.message.len() - 1;
        let end = (0..=sentence.len().min(room)).rfind(|&at| sentence.is_char_boundary(at)).unwrap_or(0);
        // A NUL would end the sentence for its reader.
        let bytes = sentence[..end].bytes().map(|b| if b == 0 { b' ' } else { b });
        for (to, byte) in error.message.iter_mut().zip(bytes) {
            *to = byte.cast_signed() as c_char;
        }
        error
    }
}

/// Why a call failed.
#[derive(Debug)]
pub(super) struct Failure {
    status: Status,
    sentence: String,
}

impl Failure {
    pub fn new(status: Status, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into() }
    }

    /// The caller's fault.
    pub fn argument(sentence: impl Into<String>) -> Self {
        Self::new(Status::InvalidArgument, sentence)
    }

    /// What the engine says, with a code of its own where memory is the reason.
    pub fn engine(otherwise: Status, error: &EngineError) -> Self {
        let memory =
            matches!(error, EngineError::TooLarge(_) | EngineError::Core(CoreError::OutOfMemory { .. }));
        Self::new(if memory { Status::NoMemory } else { otherwise }, error.to_string())
    }
}

/// Makes a call, keeps its panics here, and says what it came to.
///
/// # Safety
/// `error` is NULL or can be written.
pub(super) unsafe fn answer(error: *mut ErrorText, call: impl FnOnce() -> Result<(), Failure>) -> i32 {
    // Whatever a panic leaves half done is under a lock that is poisoned by it.
    let result = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        Err(Failure::new(Status::Panicked, format!("a fault of the library: {}", said(&*payload))))
    });
    let failure = result.err().unwrap_or_else(|| Failure::new(Status::Ok, ""));
    if !error.is_null() {
        // SAFETY: it is not NULL, and the caller vouches for the rest.
        unsafe { error.write(ErrorText::new(failure.status, &failure.sentence)) };
    }
    failure.status as i32
}

fn said(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn caught(call: impl FnOnce() -> Result<(), Failure>) -> (i32, i32, String) {
        let mut error = ErrorText::new(Status::Failed, "before");
        // SAFETY: `error` can be written.
        let status = unsafe { answer(&raw mut error, call) };
        // SAFETY: the message has a NUL.
        let text = unsafe { CStr::from_ptr(error.message.as_ptr()) }.to_str().unwrap().to_owned();
        (status, error.code, text)
    }

    #[test]
    fn panics_become_codes() {
        assert_eq!(caught(|| Ok(())), (0, 0, String::new()));
        let (status, code, text) = caught(|| panic!("no {}", "way"));
        assert_eq!((status, code), (9, 9));
        assert_eq!(text, "a fault of the library: no way");
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { answer(std::ptr::null_mut(), || Err(Failure::argument("x"))) }, 1);
    }

    #[test]
    fn long_sentences_are_cut_between_characters() {
        let (_, _, text) = caught(|| Err(Failure::argument("ä".repeat(2000))));
        assert_eq!(text, "ä".repeat(509));
        let (_, _, text) = caught(|| Err(Failure::argument("a\0b")));
        assert_eq!(text, "a b");
    }
}
