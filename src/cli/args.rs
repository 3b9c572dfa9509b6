//! Arguments as they are typed. What they mean is for [`super::settings`].

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, ArgGroup, Parser, ValueEnum};

use super::constraint::ConstraintArgs;
use super::eviction::EvictionArgs;
use super::kv::KvArgs;
use super::limits::{LimitArgs, granted_threads, wanted_threads};
use super::values::{
    Seed, at_least_one, cache_place, date, isa, lookup, not_empty, number, seed, weight_dtype, whole,
};
use crate::backend::cpu::{CpuOptions, Isa};
use crate::chat::Date;
use crate::engine::{CachePlace, WeightDType};

pub(super) const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Continue a text, or answer a message, with a language model on this machine.
///
/// Without --model-path a small demo model inside the program writes children's stories.
#[derive(Debug, Parser)]
#[command(name = "generate", version, styles = STYLES, max_term_width = 100, after_help = EXAMPLES)]
#[command(group(ArgGroup::new("templated").multiple(true)))]
pub struct Args {
    /// Directory of a Hugging Face checkpoint (config.json, tokenizer.json, model.safetensors), the safetensors
    /// file in it, a GGUF file, or a file that --pack-to made
    #[arg(short, long, value_name = "PATH", help_heading = "Model")]
    pub model_path: Option<PathBuf>,

    /// Format in which the weights are held and computed: auto, f32, f16, bf16, q8_0, q6_k, q5_k, q5_1, q5_0, q4_k, q4_1,
    /// q4_0, iq4_nl, iq4_xs, mxfp4, q3_k, q2_k, tq2_0, tq1_0. auto computes a quantized file as it is stored, tensor by
    /// tensor, and so a model of up to 512 MB; others become q8_0 (q4_0 if q8_0 would need more than half of the
    /// available memory)
    #[arg(long, value_name = "TYPE", default_value = "auto", value_parser = weight_dtype, help_heading = "Model")]
    pub weight_dtype: WeightDType,

    /// With a block format as --weight-dtype, that format for the embedding and the output matrix too; otherwise these two
    /// are q8_0, which costs some memory and keeps much of the quality
    #[arg(long, requires = "weight_dtype", help_heading = "Model")]
    pub pure: bool,

    #[command(flatten)]
    pub kv: KvArgs,

    /// The most tokens of prompt and answer together [default: 4096, or what the model was trained for if
    /// that is less]
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Model")]
    pub max_seq_len: Option<usize>,

    #[command(flatten)]
    pub eviction: EvictionArgs,

    /// Also evict, and shrink the cache, whenever the system has fewer than N MiB of memory left. The text then depends
    /// on the state of the machine and can differ from run to run
    #[arg(
        long,
        value_name = "N",
        requires = "eviction_policy",
        value_parser = at_least_one,
        help_heading = "Long texts in fixed memory"
    )]
    pub memory_threshold_mb: Option<usize>,

    /// Memory for keys and values in MiB. The window, and unless --kv-type is given the type, are derived from it and
    /// reported. Without --eviction-policy the policy is streaming; with none the text ends when the memory is full
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "eviction_window",
        value_parser = at_least_one,
        help_heading = "Long texts in fixed memory"
    )]
    pub kv_budget_mb: Option<usize>,

    #[command(flatten)]
    pub pack: PackArgs,

    /// Backend that runs the model
    #[arg(short, long, value_name = "NAME", default_value = "cpu", help_heading = "Machine")]
    pub backend: BackendName,

    /// OpenCL device: its number in --list-devices, or a part of its name [default: the first GPU, else the first
    /// device]
    #[arg(long, value_name = "N|NAME", help_heading = "Machine")]
    pub device: Option<String>,

    /// Examine this machine instead of generating text: hardware, self-tests, approximate speed, recommended settings.
    /// Prints a page, or with --json an object for a report; takes a few seconds
    #[arg(long, help_heading = "Machine")]
    pub doctor: bool,

    /// Show what the model is made of instead of generating text: layers, attention, rotations, formats by tensor, memory
    /// of the cache, and what of its files is not used. Prints a page, or with --json an object
    #[arg(long, help_heading = "Model")]
    pub explain: bool,

    /// With --backend hybrid, texts of N tokens or more are on the device and shorter ones on the cpu [default: what
    /// two seconds of measuring find]
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Machine")]
    pub switch_threshold: Option<usize>,

    /// List the OpenCL devices of this machine and exit
    #[arg(long, help_heading = "Machine")]
    pub list_devices: bool,

    #[command(flatten)]
    pub cpu: CpuArgs,

    /// Tokens of the prompt that go through the model at once; changes memory and speed, never the text
    #[arg(long, value_name = "N", default_value = "256", value_parser = at_least_one, help_heading = "Machine")]
    pub prefill_chunk: usize,

    /// Speculative decoding by prompt lookup: draft up to N tokens that followed earlier occurrences of the last ones,
    /// and verify them in one pass. Faster where the text repeats the prompt or itself; the text never changes
    #[arg(long, value_name = "N", default_value = "0", value_parser = lookup, help_heading = "Machine")]
    pub lookup: usize,

    #[command(flatten)]
    pub limits: LimitArgs,

    /// The text to continue, or with --chat the message to answer
    #[arg(short, long, value_name = "TEXT", conflicts_with = "prompt_file", help_heading = "Text")]
    pub prompt: Option<String>,

    /// Read the prompt from a file, or from standard input with '-' (also the default when standard input is
    /// a pipe); one final newline is dropped
    #[arg(short = 'f', long, value_name = "FILE", help_heading = "Text")]
    pub prompt_file: Option<PathBuf>,

    /// Put the prompt into the model's chat template, as the message of a user. Without a prompt: a conversation, in
    /// which each line of the terminal or of a pipe is a message (/help there lists commands)
    #[arg(long, group = "templated", help_heading = "Text")]
    pub chat: bool,

    /// Answer a conversation in JSON, in the format of OpenAI's API: an object with messages, tools and variables of the
    /// template, or the list of messages alone. '-' reads it from standard input
    #[arg(
        long,
        value_name = "FILE",
        group = "templated",
        conflicts_with_all = ["prompt", "prompt_file", "system"],
        help_heading = "Text"
    )]
    pub messages: Option<PathBuf>,

    /// One of the model's own chat templates by its name, or a file with another one (Jinja) in place of the model's
    #[arg(long, value_name = "NAME|FILE", requires = "templated", help_heading = "Text")]
    pub chat_template: Option<PathBuf>,

    /// The date that a chat template gets when it asks for today's [default: that of the session, else today's]
    #[arg(long, value_name = "YYYY-MM-DD", requires = "templated", value_parser = date, help_heading = "Text")]
    pub date: Option<Date>,

    /// Let the model reason before it answers, by the switch that its chat template has for that [default: as the template
    /// has it by itself, or as the session does]
    #[arg(long, requires = "templated", conflicts_with = "no_think", help_heading = "Text")]
    pub think: bool,

    /// Let the model answer without reasoning, by the same switch
    #[arg(long, requires = "templated", help_heading = "Text")]
    pub no_think: bool,

    /// Do not keep the lines typed in a conversation for the next one
    #[arg(long, requires = "chat", help_heading = "Text")]
    pub no_history: bool,

    /// A system message before the user's
    #[arg(long, value_name = "TEXT", requires = "chat", help_heading = "Text")]
    pub system: Option<String>,

    /// Keep the text with its keys and values in FILE when it ends. A later run computes only what follows the prefix
    /// that its prompt shares with that text; an empty prompt (--prompt "") continues the text, and --chat continues the
    /// conversation
    #[arg(long, value_name = "FILE", help_heading = "Text")]
    pub session: Option<PathBuf>,

    /// The most tokens to generate [default: until the model ends the text or the context is full]
    #[arg(short = 'n', long, value_name = "N", value_parser = whole, help_heading = "Text")]
    pub num_tokens: Option<usize>,

    /// End the text before this string, or at this special token (</s>, say); may be given several times
    #[arg(long, value_name = "TEXT", value_parser = not_empty, help_heading = "Text")]
    pub stop: Vec<String>,

    /// Continue after the model's end-of-text token
    #[arg(long, help_heading = "Text")]
    pub ignore_eos: bool,

    #[command(flatten)]
    pub constraint: ConstraintArgs,

    /// Sampling temperature; 0 always takes the most likely token (greedy) [default: the model's, else 0.8]
    #[arg(long, value_name = "T", value_parser = number::<f32>, help_heading = "Sampling")]
    pub temperature: Option<f32>,

    /// Sample from the K most likely tokens, 0 for all [default: the model's, else 40]
    #[arg(long, value_name = "K", value_parser = whole, help_heading = "Sampling")]
    pub top_k: Option<usize>,

    /// Sample from the smallest set of most likely tokens whose probabilities add up to P [default: the model's, else
    /// 0.95]
    #[arg(long, value_name = "P", value_parser = number::<f32>, help_heading = "Sampling")]
    pub top_p: Option<f32>,

    /// Drop tokens less likely than P times the most likely one [default: the model's, else 0]
    #[arg(long, value_name = "P", value_parser = number::<f32>, help_heading = "Sampling")]
    pub min_p: Option<f32>,

    /// Make tokens of the window less likely by this factor, 1 for off [default: the model's, else 1]
    #[arg(long, value_name = "X", value_parser = number::<f32>, help_heading = "Sampling")]
    pub repetition_penalty: Option<f32>,

    /// How many of the last tokens (prompt included) the penalties look at, 0 for none
    #[arg(long, value_name = "N", default_value = "64", value_parser = whole, help_heading = "Sampling")]
    pub repetition_window: usize,

    /// Subtract X from a token's logit for each time that the window holds it
    #[arg(long, value_name = "X", default_value = "0", value_parser = number::<f32>, help_heading = "Sampling")]
    pub frequency_penalty: f32,

    /// Subtract X from the logit of each token that the window holds
    #[arg(long, value_name = "X", default_value = "0", value_parser = number::<f32>, help_heading = "Sampling")]
    pub presence_penalty: f32,

    /// Seed of the random numbers, or 'random'. The same seed gives the same text on every machine
    #[arg(long, value_name = "N", default_value = "42", value_parser = seed, help_heading = "Sampling")]
    pub seed: Seed,

    /// Print the prompt as the model would get it, with its token ids, and exit; with --json as an object
    #[arg(long, help_heading = "Output")]
    pub print_prompt: bool,

    /// Print the prompt before the text
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub echo: bool,

    /// Print the time of each kernel of the opencl backend, and launches, transfers and waits per token
    #[arg(long, help_heading = "Output")]
    pub profile: bool,

    /// Check for values that are not finite after each step of each layer, and report the first ones; slower
    #[arg(long, help_heading = "Output")]
    pub check_numerics: bool,

    /// Print one JSON object (text, ids, timings, settings) instead of the text
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// No colors; also off if NO_COLOR is set or there is no terminal
    #[arg(long, help_heading = "Output")]
    pub no_color: bool,

    /// Print nothing but the text, errors and warnings
    #[arg(short, long, action = ArgAction::SetTrue, help_heading = "Output")]
    pub quiet: bool,
}

/// How the cpu backend computes.
#[derive(Debug, clap::Args)]
pub struct CpuArgs {
    /// Threads of the cpu backend; fewer where the process may use fewer cores [default: the number of fast cores]
    #[arg(short, long, value_name = "N", value_parser = wanted_threads, help_heading = "Machine")]
    pub threads: Option<usize>,

    /// Instruction set of the cpu backend: scalar (slow), avx2, avxvnni, avx512, amx, neon, dotprod, i8mm. Changes
    /// speed, never the text; except avx512bf16, which rounds the activations for f16 and bf16 weights to bf16 and is
    /// nearly twice as fast in prefill [default: the best exact one of this CPU]
    #[arg(long, value_name = "NAME", value_parser = isa, help_heading = "Machine")]
    pub isa: Option<Isa>,
}

impl CpuArgs {
    /// Whether any is given.
    pub fn are_given(&self) -> bool {
        self.isa.is_some() || self.threads.is_some()
    }

    /// What they mean on this machine; a warning says so where there are fewer threads than wanted.
    pub fn options(&self) -> CpuOptions {
        CpuOptions { threads: granted_threads(self.threads), isa: self.isa }
    }
}

/// Where converted weights are kept from one start to the next.
#[derive(Debug, clap::Args)]
pub struct PackCacheArgs {
    /// Directory in which converted weights are kept for the next start, or 'off' [default: .llm_rs2 in the
    /// model's directory, or else in the user's cache directory; only for models that take long to load]
    #[arg(long, value_name = "PATH|off", value_parser = cache_place, help_heading = "Packed weights")]
    pub pack_cache: Option<CachePlace>,

    /// Compare the weights of a packed file with their checksums before they are used
    #[arg(long, help_heading = "Packed weights")]
    pub pack_verify: bool,
}

/// Packed weights: made once, mapped afterwards.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Packed weights")]
pub struct PackArgs {
    #[command(flatten)]
    pub cache: PackCacheArgs,

    /// Write the model with its weights in --weight-dtype, tokenizer and settings into one file and exit: the file is
    /// all that --model-path needs, on any machine
    #[arg(long, value_name = "FILE")]
    pub pack_to: Option<PathBuf>,

    /// The machine that --pack-to packs for. The layout is the same for all today
    #[arg(long, value_name = "CPU", requires = "pack_to")]
    pub pack_for: Option<PackFor>,

    /// Let --pack-to replace a file
    #[arg(long, requires = "pack_to")]
    pub pack_overwrite: bool,
}

/// A kind of processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PackFor {
    /// Phones
    Arm64,
    /// PCs
    X86,
}

const EXAMPLES: &str = "\
Examples:
  generate --prompt \"Once upon a time\"
  generate --model-path Llama-3.2-1B-Instruct --chat
  generate --model-path Llama-3.2-1B-Instruct --chat --prompt \"Why is the sky blue?\"
  generate -m Llama-3.2-1B --weight-dtype q4_0 -n 100 --temperature 0 --prompt-file story.txt
  generate -m Llama-3.2-1B --weight-dtype q4_0 --pack-to llama-1b.packed";

/// What computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendName {
    /// AVX2, AVX-512 or NEON on several threads
    Cpu,
    /// A GPU, or any other device with OpenCL 1.2
    Opencl,
    /// The GPU if it computes correctly and is faster here, else the cpu
    Auto,
    /// Both, each for what it does faster
    Hybrid,
    /// Plain loops: slow, for comparison
    Reference,
}

impl Args {
    /// The formats that the weights are wanted in.
    pub fn weights(&self) -> WeightDType {
        self.weight_dtype.pure(self.pure)
    }
}

impl BackendName {
    /// Refuses flags of the cpu backend (`given`: whether there are any) where something else computes.
    ///
    /// # Errors
    /// A message for the user.
    pub fn check_cpu_flags(self, given: bool) -> anyhow::Result<()> {
        let why = match self {
            Self::Opencl => "an OpenCL device has its own",
            Self::Reference => "the reference has one thread of plain loops",
            Self::Cpu | Self::Auto | Self::Hybrid => return Ok(()),
        };
        anyhow::ensure!(!given, "--isa and --threads are for the cpu backend; {why}");
        Ok(())
    }

    /// Refuses `flag`, which is about an OpenCL device, if it is `given` where none can be in use.
    ///
    /// # Errors
    /// A message for the user.
    pub fn check_device_flag(self, flag: &str, given: bool) -> anyhow::Result<()> {
        let device = match self {
            Self::Opencl | Self::Auto | Self::Hybrid => true,
            Self::Cpu | Self::Reference => false,
        };
        anyhow::ensure!(
            device || !given,
            "{flag} is for the opencl backend; add --backend opencl, or leave {flag} out"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::DType;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn values_are_read_and_refused() {
        let ok = Args::try_parse_from([
            "generate",
            "--weight-dtype",
            "Q4_0",
            "--seed",
            "random",
            "-b",
            "reference",
        ])
        .unwrap();
        assert_eq!(ok.weight_dtype, WeightDType::Fixed(DType::Q4_0));
        assert_eq!(ok.seed, Seed::Random);
        assert_eq!(ok.backend, BackendName::Reference);
        for bad in [
            ["--threads", "0"],
            ["--weight-dtype", "u8"],
            ["--kv-type", "q4_1"],
            ["--stop", ""],
            ["--seed", "-1"],
            ["--lookup", "65"],
            ["--max-seq-len", "0"],
            ["--switch-threshold", "0"],
            ["--system", "x"],
            ["--pack-for", "arm64"],
            ["--pack-cache", ""],
            ["--pack-cache", "Cargo.toml"],
        ] {
            assert!(Args::try_parse_from(["generate", bad[0], bad[1]]).is_err(), "{bad:?}");
        }
    }
}
