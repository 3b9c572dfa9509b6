//! `generate`, from arguments to exit code.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::args::{Args, BackendName};
use super::chat::format::Templated;
use super::devices::Choice;
use super::notice::{say, sentence};
use super::output::Stream;
use super::print_prompt::Prompt;
use super::profile::Watched;
use super::progress::Progress;
use super::reasoning::{self, Screen};
use super::report::Report;
use super::session::SessionFile;
use super::settings::Settings;
use super::throttle::Throttle;
use super::{
    chat, devices, doctor, explain, hybrid, interrupt, packing, print_prompt, profile, prompt, terminal,
    values,
};
use crate::backend::cpu::{CpuBackend, Isa};
use crate::backend::opencl::{Monitor, OpenClBackend, OpenClOptions};
use crate::backend::reference::ReferenceBackend;
use crate::chat::{ChatInput, Message, Split};
use crate::core::Backend;
use crate::engine::{
    ChatFormat, Conversation, Finish, Holding, Identity, MemorySource, ModelFiles, Origin, Outcome, Request,
    SavedConversation, Session, Text, TextLength, saved_conversation,
};
use crate::host::human_bytes;
use crate::models::llama::LoadProgress;

/// Runs the program on the process's arguments.
pub fn generate() -> ExitCode {
    exit_code(run(&values::from_process::<Args>()))
}

/// How every program ends: with its own code, or with one sentence on standard error.
pub(super) fn exit_code(result: Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        say(&format!("error: {}", sentence(&error)));
        ExitCode::FAILURE
    })
}

fn run(args: &Args) -> Result<ExitCode> {
    let start = Instant::now();
    interrupt::listen().context("cannot listen for Ctrl-C")?;
    args.backend.check_cpu_flags(args.cpu.are_given())?;
    if args.doctor {
        return doctor::run(args);
    }
    if args.switch_threshold.is_some() && args.backend != BackendName::Hybrid {
        bail!("--switch-threshold is for --backend hybrid");
    }
    if args.list_devices {
        return devices::list();
    }
    args.backend.check_device_flag("--device", args.device.is_some())?;
    args.backend.check_device_flag("--profile", args.profile)?;
    if let Some(target) = &args.pack.pack_to {
        return packing::pack(args, target);
    }
    // Before the model is loaded: a mistake here is reported at once.
    if chat::is_wanted(args) && args.json {
        bail!(
            "--json is for one answer, and --chat without a prompt is a conversation; leave one of them out"
        );
    }
    if args.explain {
        return explain::print(args, &open(args)?);
    }
    args.constraint.check()?;
    let asked = match &args.messages {
        Some(path) => Asked::Messages(chat::format::messages(path)?),
        None if args.print_prompt && chat::is_wanted(args) => Asked::Text(prompt::read(args)?),
        None if chat::is_wanted(args) => Asked::Conversation,
        None => Asked::Text(prompt::read(args)?),
    };
    let kept = args.session.as_deref().filter(|_| !args.print_prompt).map(SessionFile::new).transpose()?;
    let saved = args.session.as_deref().and_then(saved_conversation).unwrap_or_default();
    let files = open(args)?;
    let format = chat::format::choose(args, &files.tokenizer_config, &saved)?;
    if args.print_prompt {
        let prompt = question(args, &files, &format, &asked, &saved)?;
        return print_prompt::print(args, &files, format.as_ref(), &prompt);
    }
    let system = chat::system(&saved.messages).or(args.system.as_deref());
    let first = format.as_ref().map(|f| f.first_tokens(&files.tokenizer, system)).transpose();
    let first = first.map_err(chat::format::advise)?;
    let settings = Settings::new(args, &files, first)?;
    for warning in &settings.warnings {
        say(&format!("warning: {warning}"));
    }
    for note in settings.notes.iter().filter(|_| !args.quiet) {
        say(&format!("note: {note}"));
    }
    let task = match (asked, format) {
        (Asked::Conversation, Some(format)) => Task::Conversation(Box::new(format)),
        // Nothing to begin with: the text of the session goes on.
        (Asked::Text(text), None) if text.is_empty() => {
            Task::Text { prompt: Vec::new(), text, templated: Templated::default(), conversation: None }
        }
        (asked, format) => {
            let Prompt { text, ids } = question(args, &files, &format, &asked, &saved)?;
            let templated = match &format {
                Some(format) => Templated::new(format, &files.tokenizer, &text)?,
                None => Templated::default(),
            };
            let conversation = match (asked, format) {
                (Asked::Text(text), Some(format)) => Some((Conversation::new(format, system), text)),
                _ => None,
            };
            // What was typed is what may be printed again.
            let text = conversation.as_ref().map_or(text, |(_, message)| message.clone());
            Task::Text { prompt: ids, text, templated, conversation: conversation.map(Box::new) }
        }
    };
    let throttle = args.limits.throttle()?;
    let mut job = Job { args, settings, files, task, kept, start, throttle, monitor: None, second: None };
    let cpu = || CpuBackend::new(args.cpu.options());
    let options = || {
        let place = args.pack.cache.pack_cache.as_ref();
        let options = devices::options(args.device.as_deref(), place);
        OpenClOptions { profile: args.profile, ..options }
    };
    match args.backend {
        BackendName::Cpu => job.run(cpu()?, Holding::InPlace),
        BackendName::Opencl => {
            let gpu = devices::open(options())?;
            devices::check_memory(
                &gpu,
                &job.files.config.spec,
                &job.files.weight_mix(job.settings.session.weights)?,
            )?;
            job.monitor = Some(gpu.monitor());
            let holding = devices::holding(&gpu);
            job.run(gpu, holding)
        }
        BackendName::Auto => {
            let weights = job.files.weight_mix(job.settings.session.weights)?;
            let choice = devices::choose(options(), cpu()?, &job.files.config.spec, &weights);
            let report = |backend: &str, why: &str| {
                if !args.quiet {
                    say(&format!("auto: {backend}, since {why}"));
                }
            };
            match choice {
                Choice::Cpu(cpu, why) => {
                    report("cpu", &why);
                    job.run(*cpu, Holding::InPlace)
                }
                Choice::OpenCl(gpu, why) => {
                    report("opencl", &why);
                    job.monitor = Some(gpu.monitor());
                    let holding = devices::holding(&gpu);
                    job.run(*gpu, holding)
                }
            }
        }
        BackendName::Hybrid => {
            let gpu = devices::open(options())?;
            devices::check_memory(
                &gpu,
                &job.files.config.spec,
                &job.files.weight_mix(job.settings.session.weights)?,
            )?;
            job.monitor = Some(gpu.monitor());
            let holding = devices::holding_beside_cpu(&gpu);
            job.second = Some(gpu);
            job.run(cpu()?, holding)
        }
        BackendName::Reference => job.run(ReferenceBackend, Holding::AsF32),
    }
}

/// The model that is meant.
fn open(args: &Args) -> Result<ModelFiles> {
    match &args.model_path {
        Some(path) if args.print_prompt || args.explain => Ok(ModelFiles::open(path)?),
        Some(path) => packing::load(args, path),
        None => {
            if !args.quiet {
                say(
                    "note: using the small built-in demo model, which writes children's stories; give a real one, a \
                     checkpoint's directory or a GGUF file, with --model-path",
                );
            }
            Ok(ModelFiles::demo()?)
        }
    }
}

/// What the arguments ask about.
enum Asked {
    /// A text to go on from, or with a template a message.
    Text(String),
    /// Messages in JSON.
    Messages(ChatInput),
    /// A conversation.
    Conversation,
}

/// What the model is asked, as text and as ids; `saved` is the conversation that goes on.
fn question(
    args: &Args,
    files: &ModelFiles,
    format: &Option<ChatFormat>,
    asked: &Asked,
    saved: &SavedConversation,
) -> Result<Prompt> {
    let (text, ids) = match (asked, format) {
        (Asked::Messages(input), Some(format)) => {
            format.prompt(&files.tokenizer, input).map_err(chat::format::advise)?
        }
        (Asked::Text(text), Some(format)) => {
            let system = chat::system(&saved.messages).or(args.system.as_deref());
            if let Some(file) = &args.session {
                chat::check_system(args, system, file)?;
            }
            let mut messages = saved.messages.clone();
            if messages.is_empty() {
                messages.extend(system.map(|text| Message::new("system", text)));
            }
            messages.pop_if(|m| m.role == "user");
            messages.push(Message::new("user", text));
            let input = ChatInput::new(&messages, true);
            format.prompt(&files.tokenizer, &input).map_err(chat::format::advise)?
        }
        (Asked::Text(text), None) => (text.clone(), files.encode_text(text)?),
        (Asked::Messages(_) | Asked::Conversation, _) => Default::default(),
    };
    Ok(Prompt { text, ids })
}

/// What is to be done with the model.
enum Task {
    /// Go on with a text, or with a conversation by one message.
    Text {
        prompt: Vec<u32>,
        text: String,
        templated: Templated,
        conversation: Option<Box<(Conversation, String)>>,
    },
    /// Talk.
    Conversation(Box<ChatFormat>),
}

struct Job<'a> {
    args: &'a Args,
    settings: Settings,
    files: ModelFiles,
    task: Task,
    /// The file of `--session`.
    kept: Option<SessionFile>,
    start: Instant,
    throttle: Option<Throttle>,
    /// Looks at the device, if there is one.
    monitor: Option<Monitor>,
    /// The device beside another backend.
    second: Option<OpenClBackend>,
}

impl Job<'_> {
    fn run<B: Backend>(self, backend: B, holding: Holding) -> Result<ExitCode> {
        let Self { args, settings, mut files, task, kept, start, throttle, monitor, second } = self;
        let length = match &task {
            Task::Text { prompt, .. } => TextLength { prompt: prompt.len(), generated: args.num_tokens },
            // As long as it may become.
            Task::Conversation(_) => TextLength { prompt: 0, generated: None },
        };
        if let Some(gpu) = &second {
            args.limits.check_memory(&files, &settings.session, devices::holding(gpu), length)?;
        }
        let mut footprint = args.limits.check_memory(&files, &settings.session, holding, length)?;
        if !packing::keep(&mut files, args.quiet)? {
            // They are converted in memory instead.
            footprint = args.limits.check_memory(&files, &settings.session, holding, length)?;
        }
        args.limits.lock(&files, &settings.session, holding, args.quiet)?;
        // Rows from all over the weights are read for it: only where it may be asked for.
        let saves = kept.is_some() || matches!(task, Task::Conversation(_));
        let origin = Origin {
            model: if saves { files.identity(settings.session.weights)? } else { Identity::default() },
            arithmetic: arithmetic(args.cpu.isa, if second.is_some() { "hybrid" } else { backend.name() }),
        };
        let model = files.origin.clone();
        let packed = files.packed.as_ref().map(|path| path.display().to_string());
        let mut described = backend.describe();
        let mut progress = Progress::new("Loading the model", args.quiet);
        let mut track = |p: LoadProgress| progress.set(p.done, p.total);
        let device = second.as_ref().map(|gpu| (gpu.device().name.clone(), gpu.describe()));
        let mut session = match second {
            None => Session::load(backend, files, &settings.session, &mut track)?,
            Some(gpu) => Session::load_hybrid(backend, gpu, files, &settings.session, &mut track)?,
        };
        progress.finish();
        if let Some((name, gpu)) = device {
            hybrid::settle(&mut session, args.switch_threshold, &name, args.quiet)?;
            described = format!("{described} | {gpu}");
        }
        if let Some(threshold) = args.memory_threshold_mb {
            session.watch_memory((threshold as u64).saturating_mul(1 << 20), MemorySource::default());
        }
        let load = start.elapsed();
        let weight_bytes = session.weight_bytes();
        if !args.quiet {
            say(&format!(
                "{model}: {} weights, {}{} | {described}",
                session.weights(),
                human_bytes(weight_bytes as u64),
                packed.as_ref().filter(|p| **p != model).map(|p| format!(" from {p}")).unwrap_or_default()
            ));
        }
        let (prompt, text, templated, mut conversation) = match task {
            Task::Text { prompt, text, templated, conversation } => (prompt, text, templated, conversation),
            Task::Conversation(format) => {
                let markers = format.marker_tokens(session.tokenizer())?;
                session.show(markers);
                return chat::converse(&mut session, args, &settings, *format, &origin, kept, throttle);
            }
        };
        let Templated { date, thinking, splitter, reasoning: start_of, markers } = templated;
        session.show(markers);
        let mut kept = kept;
        let (mut prompt, mut draws) = (prompt, 0);
        if let Some(kept) = &mut kept {
            let earlier = kept.restore(&mut session, &origin)?;
            if let Some((conversation, message)) = conversation.as_deref_mut() {
                let earlier = earlier.unwrap_or_default();
                if !earlier.messages.is_empty() {
                    draws = if earlier.seed == settings.sampling.seed { earlier.draws } else { 0 };
                    let date = args.date.or(earlier.date);
                    let thinking = reasoning::wanted(args).or(earlier.thinking);
                    conversation.resume(Text { date, thinking, ..earlier })?;
                }
                conversation.ask(message);
                prompt = conversation.prompt(session.tokenizer())?.ids;
            } else if prompt.is_empty() {
                let earlier = earlier.with_context(|| format!("'{}' holds no text", kept.path().display()));
                let earlier =
                    earlier.context("there is nothing to go on with, so give some text with --prompt")?;
                draws = if earlier.seed == settings.sampling.seed { earlier.draws } else { 0 };
                prompt = earlier.ids;
            }
        }
        let request = Request {
            prompt,
            max_tokens: args.num_tokens,
            sampling: settings.sampling,
            stop: args.stop.clone(),
            ignore_eos: args.ignore_eos,
            draws,
            rule: args.constraint.of(&session)?.rule(start_of)?,
            ..Request::default()
        };
        let out = if args.json { Stream::new(None, args.quiet) } else { Stream::to_stdout(args.quiet) };
        let mut out = out.throttled(throttle);
        if let Some(splitter) = splitter.clone() {
            out = out.splitting(splitter, Screen::new(args));
        }
        if args.echo {
            let _ = out.write(&text);
        } else if prompt::is_shown(args) && stdout().is_terminal() && stderr().is_terminal() {
            // Beside the text on the screen, but not in what a pipe or a file receives.
            let _ = write!(stderr(), "{}", terminal::dimmed(&text, terminal::colours(args.no_color)));
        }
        interrupt::generation_starts();
        let mut out = Watched::new(out, monitor.as_ref());
        let outcome = match session.generate(&request, &mut out) {
            Ok(outcome) => outcome,
            Err(error) => return Err(broken_off(out.stream, args.json, error.into())),
        };
        let decode = out.decode();
        let throttle = out.stream.throttle_stats();
        let unanswered = out.stream.settle();
        out.stream.finish().context("cannot write the text to standard output")?;
        let said = match splitter {
            Some(splitter) => splitter.whole(&outcome.text),
            None => Split { answer: outcome.text.clone(), ..Split::default() },
        };
        let report = Report {
            model: &model,
            backend: &described,
            settings: &settings,
            load,
            weights: session.weights().to_string(),
            weight_bytes,
            packed: packed.as_deref(),
            cache_bytes: session.cache_bytes(),
            footprint,
            throttle,
            outcome: &outcome,
            text: &said,
            date,
            thinking,
        };
        if args.json {
            let mut out = Stream::new(Some(stdout()), true);
            let _ = out.write(&report.json().to_string());
            out.finish().context("cannot write the result to standard output")?;
        }
        if unanswered && !matches!(outcome.finish, Finish::Cancelled | Finish::OutputClosed) {
            say(&format!("warning: {}", reasoning::UNANSWERED));
        }
        if !args.quiet {
            conclude(&outcome.finish, settings.session.max_seq_len);
            say(&report.line());
        }
        if let (true, Some(monitor)) = (args.profile, &monitor) {
            profile::lines(monitor, decode, outcome.decode_steps)?.iter().for_each(|line| say(line));
        }
        if let Some(kept) = &kept {
            let (seed, draws) = (settings.sampling.seed, outcome.draws);
            let text = match conversation {
                Some(of) => conversation_text(of.0, &mut session, &outcome, request.draws, seed)?,
                None => {
                    let ids = [request.prompt.as_slice(), &outcome.ids].concat();
                    Text { ids, seed, draws, date, ..Text::default() }
                }
            };
            kept.save(&mut session, &origin, &text)?;
        }
        Ok(match interrupt::ending_code() {
            Some(code) => code,
            None if outcome.finish == Finish::Cancelled => ExitCode::from(interrupt::EXIT_CODE),
            None => ExitCode::SUCCESS,
        })
    }
}

/// What was said, the last answer included. Where nothing was answered, it is as if nothing had been asked.
fn conversation_text(
    mut conversation: Conversation,
    session: &mut Session,
    outcome: &Outcome,
    draws_before: u64,
    seed: u64,
) -> Result<Text> {
    if outcome.finish == Finish::Cancelled && outcome.ids.is_empty() {
        conversation.unask();
        session.cut_back(conversation.ids())?;
        return Ok(conversation.to_text(seed, draws_before));
    }
    let prompt = conversation.prompt(session.tokenizer())?;
    conversation.answer(prompt, outcome);
    Ok(conversation.to_text(seed, outcome.draws))
}

/// What is left of a text that an error has ended: what was made of it stays, as text or as an object.
fn broken_off<W: Write>(mut stream: Stream<W>, json: bool, error: anyhow::Error) -> anyhow::Error {
    stream.settle();
    if json {
        let Split { reasoning, answer } = stream.kept();
        let reasoning = Some(reasoning).filter(|text| !text.is_empty());
        let text = serde_json::json!({
            "text": answer,
            "reasoning": reasoning,
            "finish": "error",
            "error": sentence(&error),
        });
        let mut out = Stream::new(Some(stdout()), true);
        let _ = out.write(&text.to_string());
        let _ = out.finish();
    }
    // A text that cannot be written is not what went wrong first.
    let _ = stream.finish();
    error
}

/// What rounds as this backend does: the instruction sets of the cpu are one, but for those that say otherwise.
pub fn arithmetic(isa: Option<Isa>, backend: &str) -> String {
    match isa.filter(|isa| !isa.is_exact()) {
        Some(isa) => format!("{backend} {isa}"),
        None => backend.to_owned(),
    }
}

/// Says why the text ended, where a person could not guess it.
fn conclude(finish: &Finish, max_seq_len: usize) {
    match finish {
        Finish::ContextFull => {
            say(&format!("note: the context of {max_seq_len} tokens is full; --max-seq-len raises it"));
        }
        Finish::Cancelled => say("note: interrupted"),
        _ => {}
    }
}
