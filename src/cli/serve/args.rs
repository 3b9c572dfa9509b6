//! Arguments of `serve`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde_json::{Map, Value};

use super::library;
use crate::chat::Date;
use crate::cli::args::{BackendName, CpuArgs, PackCacheArgs, STYLES};
use crate::cli::eviction::EvictionArgs;
use crate::cli::kv::KvArgs;
use crate::cli::limits::LimitArgs;
use crate::cli::values::{Seed, at_least_one, date, not_empty, number, seed, weight_dtype, whole};
use crate::engine::{Pooling, WeightDType};

/// Answer the requests of OpenAI's, Ollama's, Anthropic's and llama.cpp's clients with a language model on this machine.
///
/// An answer depends on its request alone, to the last bit: not on who else is asking, nor on what was asked before. Without
/// --model-path a small demo model inside the program writes children's stories.
#[derive(Debug, Parser)]
#[command(name = "serve", version, styles = STYLES, max_term_width = 100, after_help = EXAMPLES)]
pub struct Args {
    /// Directory of a Hugging Face checkpoint (config.json, tokenizer.json, model.safetensors), the safetensors file in
    /// it, a GGUF file, or a file that generate --pack-to made. May be given several times, with names: the first model
    /// is loaded at once, each of the others when it is asked for
    #[arg(short, long, value_name = "[NAME=]PATH", value_parser = model, help_heading = "Model")]
    pub model_path: Vec<String>,

    /// A directory whose models are offered too, each loaded when it is asked for: GGUF files and checkpoints' directories
    /// that lie in it, or below it as OWNER/REPO
    #[arg(long, value_name = "DIR", help_heading = "Model")]
    pub models_dir: Option<PathBuf>,

    /// Fetch this model of a hub into --models-dir, unless it is there, and load it first: OWNER/REPO:QUANT for a GGUF file,
    /// or OWNER/REPO
    #[arg(long, value_name = "NAME", value_parser = library::name, requires = "models_dir", help_heading = "Model")]
    pub pull: Option<String>,

    /// Let requests fetch models into --models-dir, name and delete those in it (/api/pull, /api/copy, /api/delete)
    #[arg(long, requires = "models_dir", help_heading = "Model")]
    pub allow_pull: bool,

    /// The hub that models are fetched from, with Hugging Face's interface; HF_TOKEN is a token for it [default: HF_ENDPOINT,
    /// else https://huggingface.co]
    #[arg(long, value_name = "URL", value_parser = library::address, requires = "models_dir", help_heading = "Model")]
    pub hub: Option<String>,

    /// The most models that are loaded at once [default: as many as fit into memory]
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Model")]
    pub models_max: Option<usize>,

    /// Minutes without a request after which a model is unloaded [default: never]
    #[arg(long, value_name = "MINUTES", value_parser = minutes, help_heading = "Model")]
    pub unload_after: Option<f64>,

    /// A name that requests may call the model by; may be given several times [default: the name of the file or
    /// directory]
    #[arg(long, value_name = "NAME", value_parser = name, help_heading = "Model")]
    pub alias: Vec<String>,

    /// Format in which the weights are held and computed: auto, f32, f16, bf16, q8_0, q4_k and so on, as generate
    /// --help lists them
    #[arg(long, value_name = "TYPE", default_value = "auto", value_parser = weight_dtype, help_heading = "Model")]
    pub weight_dtype: WeightDType,

    /// With a block format as --weight-dtype, that format for the embedding and the output matrix too, which are q8_0
    /// otherwise
    #[arg(long, requires = "weight_dtype", help_heading = "Model")]
    pub pure: bool,

    #[command(flatten)]
    pub kv: KvArgs,

    /// The most tokens of prompt and answer together [default: 4096, or what the model was trained for if that is less]
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Model")]
    pub max_seq_len: Option<usize>,

    #[command(flatten)]
    pub eviction: EvictionArgs,

    /// How the vectors of a text's tokens become its embedding: mean, cls (the first token's), last, or none (each token has
    /// its own; for /embedding alone) [default: what the model's files say, else last, or mean where the model reads in both
    /// directions]
    #[arg(long, value_name = "NAME", help_heading = "Model")]
    pub pooling: Option<Pooling>,

    #[command(flatten)]
    pub pack: PackCacheArgs,

    /// Address to listen on. Whoever can reach it can ask, so give a key with any but this machine's own
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", help_heading = "Server")]
    pub host: IpAddr,

    /// Port to listen on, 0 for any that is free (it is reported)
    #[arg(long, value_name = "N", default_value = "8080", help_heading = "Server")]
    pub port: u16,

    /// A socket in the file system to listen on, in place of an address; only this user can connect to it
    #[arg(long, value_name = "PATH", conflicts_with_all = ["host", "port"], help_heading = "Server")]
    pub uds: Option<PathBuf>,

    /// A name that requests may call this server by (in Host), or '*' for any; may be given several times [default:
    /// localhost and the addresses of this machine for itself, if it listens there alone; any otherwise]
    #[arg(long, value_name = "NAME", value_parser = host_name, help_heading = "Server")]
    pub allowed_host: Vec<String>,

    /// A key that requests have to bring ('Authorization: Bearer KEY' or 'X-Api-Key: KEY'); may be given several times. Other
    /// users of this machine can see arguments: a file or LLM_RS2_API_KEY hides it
    #[arg(long, value_name = "KEY", value_parser = key, help_heading = "Server")]
    pub api_key: Vec<String>,

    /// A file with such keys, one a line
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub api_key_file: Option<PathBuf>,

    /// Keep the texts of one key from those of another: a request begins with what was computed for an earlier one only if
    /// both bring the same key, so that neither times nor counts of cached tokens give away what others ask. The field
    /// cache_salt does that for single requests
    #[arg(long, help_heading = "Server")]
    pub isolate_keys: bool,

    /// A web page whose scripts may ask, as an origin (https://example.com), 'localhost' for those of this machine, whatever
    /// their port, or '*' for all; may be given several times [default: none but this server's own]
    #[arg(long, value_name = "ORIGIN", value_parser = origin, help_heading = "Server")]
    pub cors_origin: Vec<String>,

    /// No web page at '/'
    #[arg(long, help_heading = "Server")]
    pub no_webui: bool,

    /// Nothing at '/slots', which says how many texts are in progress
    #[arg(long, help_heading = "Server")]
    pub no_slots: bool,

    /// Texts that go through the model together
    #[arg(long, value_name = "N", default_value = "8", value_parser = parallel, help_heading = "Server")]
    pub parallel: usize,

    /// Texts that may wait for their turn; more are refused with the advice when to try again
    #[arg(long, value_name = "N", default_value = "64", value_parser = whole, help_heading = "Server")]
    pub queue: usize,

    /// Memory for keys and values of all texts in MiB, those that have ended and are kept for others included [default:
    /// what --parallel texts of --max-seq-len need, but no more than a quarter of what is available]
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Server")]
    pub kv_budget_mb: Option<usize>,

    /// The most ended texts whose keys and values are kept: a request that begins like one computes only what is new. 0
    /// keeps none
    #[arg(long, value_name = "N", default_value = "256", value_parser = whole, help_heading = "Server")]
    pub kept_texts: usize,

    /// A directory in which keys and values of ended texts are kept over the end of the server. What was said can be read
    /// from them
    #[arg(long, value_name = "DIR", help_heading = "Server")]
    pub kv_disk: Option<PathBuf>,

    /// The most MiB of all files in that directory
    #[arg(long, value_name = "N", default_value = "4096", value_parser = at_least_one, help_heading = "Server")]
    pub kv_disk_mb: usize,

    /// The longest body of a request in MiB
    #[arg(long, value_name = "N", default_value = "16", value_parser = at_least_one, help_heading = "Server")]
    pub max_body_mb: usize,

    /// The most tokens of an answer, whatever its request says [default: as many as fit]
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Server")]
    pub max_tokens: Option<usize>,

    /// The most tokens of an answer whose request does not say [default: as many as fit]
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Server")]
    pub default_max_tokens: Option<usize>,

    /// Seconds that texts in progress have to end after Ctrl-C or SIGTERM; a second signal ends the program at once
    #[arg(long, value_name = "N", default_value = "30", value_parser = whole, help_heading = "Server")]
    pub drain_seconds: usize,

    /// How requests are reported on standard error; what they say never is
    #[arg(long, value_name = "FORM", default_value = "lines", help_heading = "Server")]
    pub log: LogForm,

    /// One of the model's own chat templates by its name, or a file with another one (Jinja) in place of the model's
    #[arg(long, value_name = "NAME|FILE", help_heading = "Chats")]
    pub chat_template: Option<PathBuf>,

    /// Variables that a chat template gets unless a request gives them itself (chat_template_kwargs): an object of JSON, such
    /// as '{"enable_thinking": false}'
    #[arg(long, value_name = "JSON", value_parser = variables, help_heading = "Chats")]
    pub chat_template_kwargs: Option<Map<String, Value>>,

    /// The date that a chat template gets when it asks for today's [default: today's]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date, help_heading = "Chats")]
    pub date: Option<Date>,

    /// Let the model reason before it answers, by the switch that its chat template has for that; requests may say
    /// otherwise
    #[arg(long, conflicts_with = "no_think", help_heading = "Chats")]
    pub think: bool,

    /// Let the model answer without reasoning, by the same switch
    #[arg(long, help_heading = "Chats")]
    pub no_think: bool,

    /// Sampling temperature where a request names none [default: the model's, else 0.8]
    #[arg(long, value_name = "T", value_parser = number::<f32>, help_heading = "Sampling")]
    pub temperature: Option<f32>,

    /// The same for top-k [default: the model's, else 40]
    #[arg(long, value_name = "K", value_parser = whole, help_heading = "Sampling")]
    pub top_k: Option<usize>,

    /// The same for top-p [default: the model's, else 0.95]
    #[arg(long, value_name = "P", value_parser = number::<f32>, help_heading = "Sampling")]
    pub top_p: Option<f32>,

    /// The same for min-p [default: the model's, else 0]
    #[arg(long, value_name = "P", value_parser = number::<f32>, help_heading = "Sampling")]
    pub min_p: Option<f32>,

    /// The same for the repetition penalty [default: the model's, else 1]
    #[arg(long, value_name = "X", value_parser = number::<f32>, help_heading = "Sampling")]
    pub repetition_penalty: Option<f32>,

    /// How many of the last tokens (prompt included) the penalties look at where a request does not say
    #[arg(long, value_name = "N", default_value = "64", value_parser = whole, help_heading = "Sampling")]
    pub repetition_window: usize,

    /// Seed of requests that name none, or 'random' for another one each time
    #[arg(long, value_name = "N", default_value = "random", value_parser = seed, help_heading = "Sampling")]
    pub seed: Seed,

    /// Backend that runs the model: cpu, opencl, auto or reference
    #[arg(short, long, value_name = "NAME", default_value = "cpu", help_heading = "Machine")]
    pub backend: BackendName,

    /// OpenCL device: its number in `generate --list-devices`, or a part of its name
    #[arg(long, value_name = "N|NAME", help_heading = "Machine")]
    pub device: Option<String>,

    #[command(flatten)]
    pub cpu: CpuArgs,

    /// Tokens of prompts that go through the model at once; changes memory and speed, never a text [default: 256, or for a
    /// model that reads in both directions, of whose texts it is the limit, up to 2048]
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Machine")]
    pub prefill_chunk: Option<usize>,

    #[command(flatten)]
    pub limits: LimitArgs,

    /// Give each chat's prompt, as it went to the model, with its answer (__verbose), as requests with 'verbose' have it
    #[arg(long, help_heading = "Server")]
    pub verbose: bool,

    /// Print nothing but errors and warnings
    #[arg(short, long, help_heading = "Server")]
    pub quiet: bool,
}

/// How requests are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogForm {
    /// A line each, to be read
    Lines,
    /// An object of JSON each
    Json,
    /// Not at all
    Off,
}

const EXAMPLES: &str = "\
Examples:
  serve -m Llama-3.2-1B-Instruct
  serve -m SmolLM2-135M-Instruct.Q4_1.gguf --alias smollm2 --port 11434
  serve --models-dir ~/models --pull bartowski/SmolLM2-135M-Instruct-GGUF:Q4_K_M
  LLM_RS2_API_KEY=secret serve -m Llama-3.2-1B-Instruct --host 0.0.0.0
  curl http://127.0.0.1:8080/v1/chat/completions -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'";

/// The most texts of a pass: each takes memory for its logits.
const MOST_PARALLEL: usize = 256;

fn parallel(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=MOST_PARALLEL).contains(&n) => Ok(n),
        _ => Err(format!("a whole number from 1 to {MOST_PARALLEL} is needed")),
    }
}

fn model(text: &str) -> Result<String, String> {
    not_empty(text).map_err(|_| "a path cannot be empty".to_owned())
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.0..=1e6).contains(&minutes) => Ok(minutes),
        _ => Err("minutes from 0 to a million are needed, such as 5 or 0.5".to_owned()),
    }
}

fn name(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a name cannot be empty".to_owned()),
        name if name.chars().any(char::is_control) => Err("a name is one line".to_owned()),
        name => Ok(name.to_owned()),
    }
}

/// A key that can stand in a header.
pub(super) fn key(text: &str) -> Result<String, String> {
    not_empty(text).map_err(|_| "a key cannot be empty".to_owned())?;
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("a key is made of ASCII letters, digits and signs, without blanks".to_owned())
    }
}

fn origin(text: &str) -> Result<String, String> {
    let is_origin = text.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty()
            && !host.is_empty()
            && !host.contains('/')
            && text.bytes().all(|b| b.is_ascii_graphic())
    });
    if matches!(text, "*" | "localhost") || is_origin {
        Ok(text.to_owned())
    } else {
        Err("an origin like https://example.com is needed (without a path), 'localhost' or '*'".to_owned())
    }
}

fn variables(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("an object of JSON is needed: {error}"))
}

fn host_name(text: &str) -> Result<String, String> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'[' | b']' | b':');
    let has_port = text.rsplit_once(':').is_some_and(|(name, _)| !name.contains(':'));
    if text == "*" || (!text.is_empty() && text.bytes().all(is_name) && !has_port) {
        Ok(text.to_owned())
    } else {
        Err("the name of a host is needed (chat.example.com, without a port), or '*'".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn values_are_read_and_refused() {
        let args = Args::parse_from([
            "serve",
            "--cors-origin",
            "*",
            "--cors-origin",
            "https://a.b:1",
            "--host",
            "::1",
        ]);
        assert_eq!((args.cors_origin.len(), args.seed, args.host.is_loopback()), (2, Seed::Random, true));
        for bad in [
            ["--host", "localhost"],
            ["--port", "65536"],
            ["--api-key", ""],
            ["--api-key", "a b"],
            ["--cors-origin", "example.com"],
            ["--cors-origin", "https://a/b"],
            ["--parallel", "0"],
            ["--parallel", "257"],
            ["--alias", " "],
            ["--allowed-host", "https://a.b"],
            ["--allowed-host", "a.b:80"],
            ["--allowed-host", ""],
            ["--chat-template-kwargs", "[1]"],
            ["--chat-template-kwargs", "{"],
            ["--max-tokens", "0"],
            ["--allow-pull", "-q"],
            ["--models-dir=x", "--pull=../x"],
            ["--models-dir=x", "--pull=llama3.2:1b"],
            ["--models-dir=x", "--hub=huggingface.co"],
            ["--hub", "http://localhost"],
        ] {
            assert!(Args::try_parse_from(["serve", bad[0], bad[1]]).is_err(), "{bad:?}");
        }
    }
}
