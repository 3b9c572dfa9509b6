//! The C interface that `include/llm_rs2.h` declares; `docs/EMBEDDING.md` says how it is built and used.
//!
//! A model is a number that is looked up here, so that a freed or invented one is an error and no fault. No panic
//! crosses the boundary. What the caller has to promise are pointers to what the header says, for the time of a call.

mod load;
mod model;
mod options;
mod status;
mod text;

use std::ffi::{c_char, c_void};

pub use options::{GenerateOptions, GenerateResult, LoadOptions};
pub use status::{ErrorText, Status};

use model::Model;
use options::{read_options, write_defaults};
use status::{Failure, answer};
use text::optional;

/// See `LLM_RS2_API_VERSION`.
pub const API_VERSION: u32 = 2;

/// See `llm_rs2_callback`.
pub type Callback = extern "C" fn(*const c_char, usize, *mut c_void) -> i32;

/// The header's `llm_rs2_api_version`.
#[unsafe(no_mangle)]
pub extern "C" fn llm_rs2_api_version() -> u32 {
    API_VERSION
}

/// The header's `llm_rs2_version`.
#[unsafe(no_mangle)]
pub extern "C" fn llm_rs2_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The header's `llm_rs2_load_options_init`.
///
/// # Safety
/// `options` is NULL, or `struct_size` bytes can be written there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn llm_rs2_load_options_init(options: *mut LoadOptions, struct_size: usize) {
    // SAFETY: the caller vouches for it.
    unsafe { write_defaults(options, struct_size) };
}

/// The header's `llm_rs2_generate_options_init`.
///
/// # Safety
/// As [`llm_rs2_load_options_init`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn llm_rs2_generate_options_init(options: *mut GenerateOptions, struct_size: usize) {
    // SAFETY: the caller vouches for it.
    unsafe { write_defaults(options, struct_size) };
}

/// The header's `llm_rs2_load`.
///
/// # Safety
/// Each pointer is NULL or points to what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn llm_rs2_load(
    options: *const LoadOptions,
    model: *mut u64,
    error: *mut ErrorText,
) -> i32 {
    let load = || {
        if model.is_null() {
            return Err(Failure::argument("model is NULL"));
        }
        let wanted = match options.is_null() {
            true => load::Wanted::default(),
            // SAFETY: the caller vouches for the options and the texts in them.
            false => unsafe { read_options(options).and_then(|o| load::Wanted::read(&o))? },
        };
        let number = Model::register(load::load(&wanted)?);
        // SAFETY: it is not NULL, and the caller vouches for the rest.
        unsafe { model.write(number) };
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { answer(error, load) }
}

/// The header's `llm_rs2_tokenize`.
///
/// # Safety
/// As [`llm_rs2_load`]; `ids` has room for `capacity` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn llm_rs2_tokenize(
    model: u64,
    text: *const c_char,
    begin: i32,
    ids: *mut u32,
    capacity: usize,
    count: *mut usize,
    error: *mut ErrorText,
) -> i32 {
    let tokenize = || {
        let model = Model::find(model)?;
        // SAFETY: the caller vouches for it.
        let text = unsafe { optional(text, "text")? }.ok_or_else(|| Failure::argument("text is NULL"))?;
        if count.is_null() {
            return Err(Failure::argument("count is NULL"));
        }
        let found = model.tokenize(text, begin != 0)?;
        // SAFETY: it is not NULL, and the caller vouches for the rest.
        unsafe { count.write(found.len()) };
        if found.len() > capacity || ids.is_null() && !found.is_empty() {
            let sentence = format!("the text has {} tokens, and there is room for {capacity}", found.len());
            return Err(Failure::new(Status::TooSmall, sentence));
        }
        if !found.is_empty() {
            // SAFETY: `ids` is not NULL and has room for `capacity` numbers, as the caller vouches; these are no more.
            unsafe { ids.copy_from_nonoverlapping(found.as_ptr(), found.len()) };
        }
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { answer(error, tokenize) }
}

/// The header's `llm_rs2_request_new`.
///
/// # Safety
/// Each pointer is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn llm_rs2_request_new(model: u64, request: *mut u64, error: *mut ErrorText) -> i32 {
    let make = || {
        if request.is_null() {
            return Err(Failure::argument("request is NULL"));
        }
        let number = Model::find(model)?.new_request()?;
        // SAFETY: it is not NULL, and the caller vouches for the rest.
        unsafe { request.write(number) };
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { answer(error, make) }
}

/// The header's `llm_rs2_generate`.
///
/// # Safety
/// As [`llm_rs2_load`]; `callback` may be called with `user_data` until this returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn llm_rs2_generate(
    model: u64,
    options: *const GenerateOptions,
    callback: Option<Callback>,
    user_data: *mut c_void,
    result: *mut GenerateResult,
    error: *mut ErrorText,
) -> i32 {
    let generate = || {
        let model = Model::find(model)?;
        if options.is_null() {
            return Err(Failure::argument("options is NULL"));
        }
        // SAFETY: it is not NULL; the caller vouches for the rest, and for the texts in it.
        let wanted = unsafe { read_options(options).and_then(|o| o.read())? };
        let outcome = model.generate(&wanted, callback, user_data)?;
        if !result.is_null() {
            // SAFETY: it is not NULL, and the caller vouches for the rest.
            unsafe { result.write(GenerateResult::of(&outcome)) };
        }
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { answer(error, generate) }
}

/// The header's `llm_rs2_cancel`.
///
/// # Safety
/// `error` is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn llm_rs2_cancel(model: u64, request: u64, error: *mut ErrorText) -> i32 {
    // SAFETY: the caller vouches for `error`.
    unsafe { answer(error, || Model::find(model)?.cancel(request)) }
}

/// The header's `llm_rs2_free`.
///
/// # Safety
/// `error` is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn llm_rs2_free(model: u64, error: *mut ErrorText) -> i32 {
    // SAFETY: the caller vouches for `error`.
    unsafe { answer(error, || Model::forget(model)) }
}
