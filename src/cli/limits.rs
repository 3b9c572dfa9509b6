//! The flags about the machine's limits: memory, heat, cores.

use std::env;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::notice::{say, with_flags};
use super::throttle::Throttle;
use super::values::number;
use crate::backend::cpu::MAX_THREADS;
use crate::engine::{Fit, Footprint, Holding, ModelFiles, SessionOptions, TextLength};
use crate::host::{THERMAL_ROOT, available_bytes, human_bytes, most_threads};

/// Names a directory in place of `/sys/class/thermal`: for tests.
const THERMAL: &str = "LLM_RS2_THERMAL";

/// What is done about the limits.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits of the machine")]
pub struct LimitArgs {
    /// Start even if the estimate says that memory does not suffice; the system may then kill the program
    #[arg(long)]
    pub no_memory_check: bool,

    /// Lock weights that are mapped from a file in memory, so that the system cannot drop their pages
    #[arg(long, visible_alias = "mlock")]
    pub lock_weights: bool,

    /// Pause between tokens while the processor is hotter than C degrees Celsius: half of the time at 5 degrees more,
    /// at most nine tenths
    #[arg(long, value_name = "C", value_parser = number::<f64>)]
    pub throttle_to: Option<f64>,
}

impl LimitArgs {
    /// Refuses a text that does not fit in memory, and warns of one that fits badly. Gives the estimate.
    ///
    /// # Errors
    /// A sentence with the numbers and the smaller choices.
    pub fn check_memory(
        &self,
        files: &ModelFiles,
        options: &SessionOptions,
        holding: Holding,
        text: TextLength,
    ) -> Result<Footprint> {
        let (fit, need) = Fit::of(files, options, holding, text, available_bytes())?;
        match fit {
            Fit::Fits => {}
            Fit::Slow(unfit) => say(&format!("warning: {}", with_flags(unfit.why, &unfit.remedies))),
            Fit::No(unfit) if self.no_memory_check => {
                say(&format!("warning: {}", with_flags(unfit.why, &unfit.remedies)));
            }
            Fit::No(unfit) => {
                bail!("{}; --no-memory-check starts anyway", with_flags(unfit.why, &unfit.remedies))
            }
        }
        Ok(need)
    }

    /// Locks the weights that will be used where they are mapped, if asked to.
    ///
    /// # Errors
    /// A sentence that names the limit.
    pub fn lock(
        &self,
        files: &ModelFiles,
        options: &SessionOptions,
        holding: Holding,
        quiet: bool,
    ) -> Result<()> {
        if !self.lock_weights {
            return Ok(());
        }
        match files.lock_weights(options.weights, holding)? {
            0 => say(
                "warning: --lock-weights does nothing here: the weights are not used where they are mapped, but copied; \
                 --pack-to makes a file whose weights are",
            ),
            bytes if !quiet => say(&format!("{} of weights are locked in memory", human_bytes(bytes))),
            _ => {}
        }
        Ok(())
    }

    /// What watches the temperature, if asked to.
    ///
    /// # Errors
    /// As [`Throttle::new`].
    pub fn throttle(&self) -> Result<Option<Throttle>> {
        self.throttle_to.map(|limit| Throttle::new(limit, &thermal_root())).transpose()
    }
}

/// Where the thermal zones are.
pub fn thermal_root() -> PathBuf {
    env::var_os(THERMAL).map_or_else(|| PathBuf::from(THERMAL_ROOT), PathBuf::from)
}

/// A number of threads, which [`granted_threads`] compares with the machine.
pub fn wanted_threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("0 threads cannot compute; leave --threads out for one a fast core".to_owned()),
        Ok(n) if n <= MAX_THREADS => Ok(n),
        _ => Err(format!("a number of threads from 1 to {MAX_THREADS} is needed")),
    }
}

/// As many of `wanted` threads as there are cores for; says so if these are fewer. More would take turns on a core
/// while they wait for each other.
pub fn granted_threads(wanted: Option<usize>) -> Option<usize> {
    let most = most_threads();
    let too_many = wanted.filter(|&n| n > most);
    if let Some(n) = too_many {
        let (cores, threads) =
            if most == 1 { ("core", "thread computes") } else { ("cores", "threads compute") };
        say(&format!(
            "warning: --threads {n} is more than the {most} {cores} that this process may use (taskset, cpusets and \
             containers take some away); {most} {threads}"
        ));
    }
    wanted.map(|n| n.min(most))
}
