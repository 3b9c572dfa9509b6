//! `--backend hybrid`: who takes which pass, and why.

use std::time::Duration;

use super::notice::say;
use crate::engine::{Calibration, EngineError, Session, Switch};

/// Time for measuring both backends.
const CALIBRATION: Duration = Duration::from_secs(2);

/// Lets `device` take over at `threshold` tokens, or where a calibration finds that it pays. Says so unless `quiet`.
pub fn settle(
    session: &mut Session,
    threshold: Option<usize>,
    device: &str,
    quiet: bool,
) -> Result<(), EngineError> {
    let said = match threshold {
        Some(tokens) => {
            session.set_switch(Switch::at(tokens));
            Some(format!("texts of {tokens} tokens or more are on {device}, shorter ones on the cpu"))
        }
        None => session.calibrate(CALIBRATION)?.map(|found| explain(&found, device)),
    };
    if let (Some(said), false) = (said, quiet) {
        say(&format!("hybrid: {said}"));
    }
    Ok(())
}

/// What was found, in a sentence.
fn explain(found: &Calibration, device: &str) -> String {
    let ms = |d: Duration| format!("{:.1} ms", 1e3 * d.as_secs_f64());
    let prompts = match found.switch.prompt {
        usize::MAX => "prompts stay on the cpu".to_owned(),
        1 => format!("prompts go to {device}"),
        n => format!("prompts of {n} tokens or more go to {device}"),
    };
    let decode = match found.switch.decode {
        usize::MAX => "the cpu continues from there",
        _ => "it continues from there",
    };
    let on_both = |[cpu, there]: [Duration; 2]| format!("{} there, {} on the cpu", ms(there), ms(cpu));
    let decode = if found.switch.prompt == usize::MAX && found.switch.decode != usize::MAX {
        format!("{device} continues from there")
    } else {
        decode.to_owned()
    };
    format!(
        "{prompts} ({} tokens: {}), {decode} (a token: {})",
        found.rows,
        on_both(found.prompt),
        on_both(found.decode)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_says_who_does_what_and_why() {
        let ms = |all: [u64; 2]| all.map(Duration::from_millis);
        let of = |prompt, decode| {
            let found = Calibration {
                switch: Switch { prompt, decode },
                rows: 64,
                prompt: ms([300, 100]),
                decode: ms([5, 9]),
            };
            explain(&found, "Mali-G78")
        };
        assert_eq!(
            of(16, usize::MAX),
            "prompts of 16 tokens or more go to Mali-G78 (64 tokens: 100.0 ms there, 300.0 ms on the cpu), the cpu \
             continues from there (a token: 9.0 ms there, 5.0 ms on the cpu)"
        );
        assert!(of(1, 0).starts_with("prompts go to Mali-G78 (64"), "{}", of(1, 0));
        assert!(of(1, 0).contains("), it continues from there ("), "{}", of(1, 0));
        let late = of(usize::MAX, 0);
        assert!(late.starts_with("prompts stay on the cpu") && late.contains("Mali-G78 continues"), "{late}");
    }
}
