//! Ctrl-C: ends the text, not the program's good manners.

use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code after Ctrl-C, as shells give it: 128 + SIGINT.
pub const EXIT_CODE: u8 = 130;

static GENERATING: AtomicBool = AtomicBool::new(false);
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Starts to listen. Before [`generation_starts`], and the second time after it, an interrupt ends the process
/// at once; the first time after it, it is for [`requested`] to tell.
pub fn listen() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if !GENERATING.load(Ordering::SeqCst) || REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(EXIT_CODE));
        }
    })?;
    Ok(())
}

/// From now on an interrupt ends the text first.
pub fn generation_starts() {
    GENERATING.store(true, Ordering::SeqCst);
}

/// Whether the person has asked to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
