//! The header's structs.

use std::ffi::c_char;
use std::ptr;

use super::status::Failure;
use super::text::optional;
use crate::engine::{Finish, Outcome, SamplingWishes};
use crate::sampling::SamplingParams;

/// A struct whose first field is its size as the caller knows it. Fields may be added at its end, with 0 for their
/// default: a caller of an older header then has fewer of them, and one of a newer header has more.
///
/// # Safety
/// The struct is `repr(C)`, begins with a `usize`, and any bytes that C can put into it make a value of it.
pub(super) unsafe trait Versioned: Copy + Default {
    /// The size that it had in the first header of this interface's version.
    const FIRST: usize;

    /// The function that makes one.
    const INIT: &'static str;
}

/// The header's `llm_rs2_load_options`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct LoadOptions {
    /// Bytes of this struct.
    pub struct_size: usize,
    /// NULL: the demo model.
    pub model_path: *const c_char,
    /// NULL: `cpu`.
    pub backend: *const c_char,
    /// NULL: the first GPU.
    pub device: *const c_char,
    /// NULL: `auto`.
    pub weight_dtype: *const c_char,
    /// NULL: `f16`.
    pub kv_type: *const c_char,
    /// NULL: beside the model.
    pub cache: *const c_char,
    /// 0: the number of fast cores.
    pub threads: u32,
    /// 0: as in `generate`.
    pub max_seq_len: u32,
    /// Not 0: load in any case.
    pub no_memory_check: u32,
    /// 0.
    pub reserved: u32,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            model_path: ptr::null(),
            backend: ptr::null(),
            device: ptr::null(),
            weight_dtype: ptr::null(),
            kv_type: ptr::null(),
            cache: ptr::null(),
            threads: 0,
            max_seq_len: 0,
            no_memory_check: 0,
            reserved: 0,
        }
    }
}

// SAFETY: `repr(C)`, a `usize` first, and pointers and integers alone.
unsafe impl Versioned for LoadOptions {
    const FIRST: usize = size_of::<Self>();
    const INIT: &'static str = "llm_rs2_load_options_init";
}

/// The header's `llm_rs2_generate_options`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct GenerateOptions {
    /// Bytes of this struct.
    pub struct_size: usize,
    /// Never NULL.
    pub prompt: *const c_char,
    /// NULL: none.
    pub system: *const c_char,
    /// `stop_count` texts.
    pub stop: *const *const c_char,
    /// How many.
    pub stop_count: usize,
    /// Of the random numbers.
    pub seed: u64,
    /// What a cancellation names; 0: a number that the caller does not know.
    pub request: u64,
    /// Not 0: by the chat template.
    pub chat: u32,
    /// 0: no limit.
    pub max_tokens: u32,
    /// Not 0: go on after the end-of-text token.
    pub ignore_eos: u32,
    /// Tokens that penalties look at.
    pub repetition_window: u32,
    /// Less than 0: the model's.
    pub top_k: i32,
    /// NaN: the model's.
    pub temperature: f32,
    /// NaN: the model's.
    pub top_p: f32,
    /// NaN: the model's.
    pub min_p: f32,
    /// NaN: the model's.
    pub repetition_penalty: f32,
    /// 0: off.
    pub frequency_penalty: f32,
    /// 0: off.
    pub presence_penalty: f32,
    /// 0.
    pub reserved: u32,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            prompt: ptr::null(),
            system: ptr::null(),
            stop: ptr::null(),
            stop_count: 0,
            seed: 42,
            request: 0,
            chat: 0,
            max_tokens: 0,
            ignore_eos: 0,
            repetition_window: SamplingParams::default().repetition_window as u32,
            top_k: -1,
            temperature: f32::NAN,
            top_p: f32::NAN,
            min_p: f32::NAN,
            repetition_penalty: f32::NAN,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            reserved: 0,
        }
    }
}

// SAFETY: as for `LoadOptions`, with floats, of which any bits are one.
unsafe impl Versioned for GenerateOptions {
    const FIRST: usize = size_of::<Self>();
    const INIT: &'static str = "llm_rs2_generate_options_init";
}

/// What is to be generated, in values of our own.
#[derive(Debug)]
pub(super) struct WantedText {
    pub request: u64,
    pub prompt: String,
    pub chat: bool,
    pub system: Option<String>,
    pub stop: Vec<String>,
    pub max_tokens: Option<usize>,
    pub ignore_eos: bool,
    pub wishes: SamplingWishes,
    pub rest: SamplingParams,
}

impl GenerateOptions {
    /// What they ask for.
    ///
    /// # Safety
    /// Every text is NULL or ended by a NUL, and `stop` points to `stop_count` of them.
    pub(super) unsafe fn read(&self) -> Result<WantedText, Failure> {
        // SAFETY: the caller vouches for all texts.
        let (prompt, system) =
            unsafe { (optional(self.prompt, "prompt")?, optional(self.system, "system")?) };
        let prompt = prompt.ok_or_else(|| Failure::argument("prompt is NULL"))?.to_owned();
        if system.is_some() && self.chat == 0 {
            return Err(Failure::argument("system is for chat, which is 0"));
        }
        if self.stop.is_null() && self.stop_count > 0 {
            return Err(Failure::argument("stop is NULL, and stop_count is not 0"));
        }
        let mut stop = Vec::new();
        for i in 0..self.stop_count {
            // SAFETY: the caller vouches for as many pointers, and their texts.
            let text = unsafe { optional(*self.stop.add(i), "a stop string")? };
            match text {
                Some(text) if !text.is_empty() => stop.push(text.to_owned()),
                _ => return Err(Failure::argument(format!("stop string {i} is NULL or empty"))),
            }
        }
        let given = |x: f32| (!x.is_nan()).then_some(x);
        Ok(WantedText {
            request: self.request,
            prompt,
            chat: self.chat != 0,
            system: system.map(str::to_owned),
            stop,
            max_tokens: (self.max_tokens > 0).then_some(self.max_tokens as usize),
            ignore_eos: self.ignore_eos != 0,
            wishes: SamplingWishes {
                temperature: given(self.temperature),
                top_k: usize::try_from(self.top_k).ok(),
                top_p: given(self.top_p),
                min_p: given(self.min_p),
                repetition_penalty: given(self.repetition_penalty),
            },
            rest: SamplingParams {
                repetition_window: self.repetition_window as usize,
                frequency_penalty: self.frequency_penalty,
                presence_penalty: self.presence_penalty,
                seed: self.seed,
                ..SamplingParams::default()
            },
        })
    }
}

/// The header's `llm_rs2_result`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct GenerateResult {
    /// Why the text ended.
    pub finish: i32,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens after it.
    pub generated_tokens: u32,
    /// 0.
    pub reserved: u32,
    /// Taking in the prompt.
    pub prefill_seconds: f64,
    /// All tokens after the first.
    pub decode_seconds: f64,
}

impl GenerateResult {
    pub(super) fn of(outcome: &Outcome) -> Self {
        let finish = match outcome.finish {
            Finish::EndOfText => 0,
            Finish::Stop(_) => 1,
            Finish::Length => 2,
            Finish::ContextFull => 3,
            Finish::Cancelled => 4,
            Finish::OutputClosed => 5,
        };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            finish,
            prompt_tokens: count(outcome.prompt_tokens),
            generated_tokens: count(outcome.ids.len()),
            reserved: 0,
            prefill_seconds: outcome.timings.prefill.as_secs_f64(),
            decode_seconds: outcome.timings.decode.as_secs_f64(),
        }
    }
}

/// Writes the defaults: as much of the struct as there is room for in `size` bytes, with zeros after what is known here.
///
/// # Safety
/// `pointer` is NULL, or `size` bytes can be written there.
pub(super) unsafe fn write_defaults<T: Versioned>(pointer: *mut T, size: usize) {
    if pointer.is_null() {
        return;
    }
    let defaults = T::default();
    let known = size.min(size_of::<T>());
    let to = pointer.cast::<u8>();
    // SAFETY: the caller vouches for `size` bytes, and no more are written; `known` of them are copied out of `defaults`,
    // as bytes that may be padding.
    unsafe {
        to.copy_from_nonoverlapping((&raw const defaults).cast(), known);
        to.add(known).write_bytes(0, size - known);
        if known >= size_of::<usize>() {
            pointer.cast::<usize>().write_unaligned(size);
        }
    }
}

/// The options at `pointer`, as far as both sides know them: the others are defaults.
///
/// # Safety
/// `pointer` is not NULL and points to a size, and to as many bytes.
pub(super) unsafe fn read_options<T: Versioned>(pointer: *const T) -> Result<T, Failure> {
    if !pointer.is_aligned() {
        return Err(Failure::argument("options lie at an odd address"));
    }
    // SAFETY: the caller vouches for a size, and the address is a multiple of what the struct needs.
    let size = unsafe { pointer.cast::<usize>().read() };
    let own = size_of::<T>();
    if size < T::FIRST || size > MOST_OPTIONS {
        return Err(Failure::argument(format!(
            "struct_size is {size}, and this library's struct has {own} bytes; make options with {}()",
            T::INIT
        )));
    }
    let mut options = T::default();
    let known = size.min(own);
    // SAFETY: there are `size` bytes at `pointer`; `known` of them make the first fields of a value of `T`, any bytes do.
    let more = unsafe {
        (&raw mut options).cast::<u8>().copy_from_nonoverlapping(pointer.cast(), known);
        std::slice::from_raw_parts(pointer.cast::<u8>().add(known), size - known)
    };
    if more.iter().any(|&byte| byte != 0) {
        return Err(Failure::argument(format!(
            "options beyond the {own} bytes that this library knows are set; use a newer library, or leave them 0"
        )));
    }
    Ok(options)
}

/// A larger struct than this is none.
const MOST_OPTIONS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// Room for options of another header, and some more.
    #[repr(C, align(8))]
    struct Room([u8; 512]);

    #[test]
    fn no_more_is_written_than_the_caller_has_room_for() {
        let own = size_of::<GenerateOptions>();
        for size in [0, 7, 8, 9, own - 1, own, own + 1, own + 40] {
            let mut room = Room([0xaa; 512]);
            // SAFETY: there are 512 bytes.
            unsafe { write_defaults(room.0.as_mut_ptr().cast::<GenerateOptions>(), size) };
            assert!(room.0[size..].iter().all(|&b| b == 0xaa), "{size}");
            if size >= 8 {
                assert_eq!(usize::from_ne_bytes(*room.0.first_chunk().unwrap()), size);
            }
            assert!(room.0.iter().take(size).skip(own).all(|&b| b == 0), "{size}");
        }
        // SAFETY: NULL is allowed.
        unsafe { write_defaults(ptr::null_mut::<LoadOptions>(), 100) };
    }

    #[test]
    fn options_of_a_newer_header_are_read_unless_they_ask_for_more() {
        let own = size_of::<LoadOptions>();
        let mut room = Room([0xaa; 512]);
        let at = room.0.as_mut_ptr();
        // SAFETY: there are 512 bytes.
        unsafe { write_defaults(at.cast::<LoadOptions>(), own + 16) };
        // SAFETY: as many bytes were written.
        let read = |at: *mut u8| unsafe { read_options(at.cast::<LoadOptions>()) };
        assert_eq!(read(at).unwrap().threads, 0);
        room.0[own + 15] = 1;
        let refused = format!("{:?}", read(room.0.as_mut_ptr()).unwrap_err());
        assert!(refused.contains("use a newer library"), "{refused}");
        room.0[..8].copy_from_slice(&(own - 1).to_ne_bytes());
        let refused = format!("{:?}", read(room.0.as_mut_ptr()).unwrap_err());
        assert!(refused.contains("llm_rs2_load_options_init()"), "{refused}");
    }
}
