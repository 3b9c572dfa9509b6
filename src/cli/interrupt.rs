//! Ctrl-C: ends the text, not the program's good manners.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::terminal;

/// Exit code after Ctrl-C, as shells give it: 128 + SIGINT.
pub const EXIT_CODE: u8 = 130;

/// Interrupts in the middle of an answer that do not end the process: a second one comes easily from impatience.
const PATIENCE: u32 = 2;

/// Interrupts that are still for [`requested`] to tell; the one behind them ends the process.
static LEFT: AtomicU32 = AtomicU32::new(0);
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Starts to listen. An interrupt ends the process at once, but for those that are for [`requested`] to tell: one while
/// a text is generated, some more in the middle of an answer.
pub fn listen() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        let less = |left: u32| left.checked_sub(1);
        if LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_err() {
            terminal::restore();
            std::process::exit(i32::from(EXIT_CODE));
        }
        REQUESTED.store(true, Ordering::SeqCst);
    })?;
    Ok(())
}

/// From now on an interrupt ends the text first.
pub fn generation_starts() {
    LEFT.store(1, Ordering::SeqCst);
}

/// Until the guard goes an interrupt ends the answer, and not the process.
pub fn answer_starts() -> Answering {
    REQUESTED.store(false, Ordering::SeqCst);
    LEFT.store(PATIENCE, Ordering::SeqCst);
    Answering
}

/// An answer is on its way.
pub struct Answering;

impl Drop for Answering {
    fn drop(&mut self) {
        LEFT.store(0, Ordering::SeqCst);
        REQUESTED.store(false, Ordering::SeqCst);
    }
}

/// Whether the person has asked to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
