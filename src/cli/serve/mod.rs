//! `serve`, from arguments to exit code.

mod args;
mod keys;
mod library;
mod loader;
mod log;
mod offers;
mod settings;
mod socket;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use self::args::Args;
use self::loader::ModelLoader;
use self::socket::Listening;
use super::args::BackendName;
use super::notice::say;
use super::run::exit_code;
use super::{interrupt, values};
use crate::server::{self, Http, Keys};

/// Runs the program on the process's arguments.
pub fn serve() -> ExitCode {
    exit_code(run(&values::from_process::<Args>()).map(|()| ExitCode::SUCCESS))
}

fn run(args: &Args) -> Result<()> {
    interrupt::listen().context("cannot listen for Ctrl-C")?;
    args.backend.check_cpu_flags(args.cpu.are_given())?;
    args.backend.check_device_flag("--device", args.device.is_some())?;
    if args.backend == BackendName::Hybrid {
        bail!("serve runs on one backend; choose cpu, opencl, auto or reference");
    }
    let variable = env::var(keys::VARIABLE).ok();
    let keys = Keys::new(keys::all(&args.api_key, args.api_key_file.as_deref(), variable.as_deref())?);
    if args.isolate_keys && keys.are_none() {
        bail!(
            "--isolate-keys keeps the texts of different keys apart, but this server has no key; give some with \
             --api-key-file, {} or --api-key, or leave out --isolate-keys",
            keys::VARIABLE
        );
    }
    if args.uds.is_none() && !args.host.is_loopback() && keys.are_none() {
        say(&format!(
            "warning: everybody who can reach {} can ask this server; give a key with --api-key-file or {}",
            args.host,
            keys::VARIABLE
        ));
    }
    let given = offers::all(&args.model_path, &args.alias, args.models_dir.is_none())?;
    let (offers, library, is_wanted) = library::with_library(args, given)?;
    if args.models_dir.is_none() && args.model_path.is_empty() && !args.quiet {
        say("note: using the small built-in demo model; give a real one with --model-path");
    }
    // Before the model is loaded: what cannot be is reported at once.
    let (socket, listening) = Listening::open(args)?;
    let limits = server::Settings {
        keys,
        isolate_keys: args.isolate_keys,
        origins: args.cors_origin.clone(),
        hosts: hosts(args),
        page: !args.no_webui,
        slots: !args.no_slots,
        max_body: args.max_body_mb.saturating_mul(1 << 20),
        max_tokens: args.max_tokens,
        default_max_tokens: args.default_max_tokens,
        verbose: args.verbose,
        parallel: args.parallel,
        queue: args.queue,
        models: args.models_max,
        unload_after: args.unload_after.map(|minutes| Duration::from_secs_f64(minutes * 60.0)),
        library,
        drain: Duration::from_secs(args.drain_seconds as u64),
    };
    // Before a backend binds this thread to the fast cores: HTTP needs none of these.
    let mut http =
        Http::start(socket, limits, log::log(args.log), offers).context("cannot start to listen")?;
    let mut loader = ModelLoader::new(args)?;
    let mut worker = http.worker().context("the thread of the models is there already")?;
    worker.begin(is_wanted, &mut loader).map_err(|why| anyhow!(why))?;
    let stop = http.stop();
    interrupt::wait_for_signal(Box::new(move || stop.now()));
    if !args.quiet {
        say(&format!("listening on {}", listening.name));
    }
    worker.run(&mut loader);
    http.join().context("HTTP has ended")?;
    drop(listening);
    if !args.quiet {
        say("ended");
    }
    Ok(())
}

/// The names that requests may call the server by, where that is looked at: other machines may have any name for this one.
fn hosts(args: &Args) -> Option<Vec<String>> {
    let is_alone = args.uds.is_none() && args.host.is_loopback();
    (is_alone || !args.allowed_host.is_empty()).then(|| args.allowed_host.clone())
}
