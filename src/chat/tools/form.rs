//! How models write calls, by family.

/// What stands between the markers of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// Objects of JSON with a name and arguments, or a list of these.
    Json,
    /// The same, but also without a marker, where an answer begins with it.
    BareJson,
    /// Mistral's: the name, `[ARGS]` and the arguments in JSON; or as [`Self::Json`].
    Named,
    /// Tags: `<function=NAME>`, `<parameter=NAME>`.
    Tags,
    /// Gemma 4's: `call:NAME{key:value}` with marked quotes.
    Gemma,
    /// A list of calls in Python.
    Python,
    /// GPT-OSS's channels.
    Harmony,
}

/// How a family of models writes calls.
#[derive(Debug, PartialEq, Eq)]
pub struct Form {
    /// For messages and documents.
    pub name: &'static str,
    pub(super) writing: Writing,
    /// Each begins calls.
    pub(super) open: &'static [&'static str],
    /// What ends them; it may be missing.
    pub(super) close: &'static str,
    /// Other special tokens that calls are written with.
    inner: &'static [&'static str],
    /// What a template of this form has in its source.
    signs: &'static [&'static str],
    /// What it does not have.
    without: &'static [&'static str],
    /// Keys of a call's name and arguments in JSON.
    pub(super) keys: (&'static str, &'static str),
    /// Calls in JSON stand in one list.
    pub(super) list: bool,
    /// Ids of calls have to be nine letters or digits.
    pub(super) short_ids: bool,
}

const PLAIN: Form = Form {
    name: "",
    writing: Writing::Json,
    open: &[],
    close: "",
    inner: &[],
    signs: &[],
    without: &[],
    keys: ("name", "arguments"),
    list: false,
    short_ids: false,
};

/// The forms, the more particular ones first.
const FORMS: [Form; 13] = [
    Form {
        name: "GPT-OSS",
        writing: Writing::Harmony,
        open: &["<|start|>", "<|channel|>"],
        inner: &["<|message|>", "<|constrain|>", "<|call|>", "<|end|>", "<|return|>"],
        signs: &["<|channel|>commentary", "<|message|>"],
        ..PLAIN
    },
    Form {
        name: "Mistral",
        writing: Writing::Named,
        open: &["[TOOL_CALLS]"],
        inner: &["[ARGS]", "[CALL_ID]"],
        signs: &["[TOOL_CALLS]", "[ARGS]"],
        short_ids: true,
        ..PLAIN
    },
    Form {
        name: "Mistral 7B and Nemo",
        writing: Writing::Named,
        open: &["[TOOL_CALLS]"],
        signs: &["[TOOL_CALLS]"],
        list: true,
        short_ids: true,
        ..PLAIN
    },
    Form {
        name: "Gemma 4",
        writing: Writing::Gemma,
        open: &["<|tool_call>"],
        close: "<tool_call|>",
        inner: &["<|\"|>"],
        signs: &["<|tool_call>call:"],
        ..PLAIN
    },
    Form {
        name: "LFM2",
        writing: Writing::Python,
        open: &["<|tool_call_start|>"],
        close: "<|tool_call_end|>",
        signs: &["List of tools: "],
        ..PLAIN
    },
    Form {
        name: "Seed-OSS",
        writing: Writing::Tags,
        open: &["<seed:tool_call>"],
        close: "</seed:tool_call>",
        signs: &["<seed:tool_call>", "<function="],
        ..PLAIN
    },
    // Qwen 3.5, Nemotron 3 and Step 3.5 too.
    Form {
        name: "Qwen3-Coder",
        writing: Writing::Tags,
        open: &["<tool_call>", "<function="],
        close: "</tool_call>",
        signs: &["<tool_call>", "<function=", "<parameter="],
        ..PLAIN
    },
    Form {
        name: "Granite 3",
        open: &["<|tool_call|>"],
        signs: &["<|tool_call|>", "available_tools"],
        list: true,
        ..PLAIN
    },
    Form {
        name: "Command R7B",
        open: &["<|START_ACTION|>"],
        close: "<|END_ACTION|>",
        signs: &["<|START_ACTION|>", "tool_call_id"],
        keys: ("tool_name", "parameters"),
        list: true,
        ..PLAIN
    },
    Form {
        name: "Nemotron Nano 2",
        open: &["<TOOLCALL>"],
        close: "</TOOLCALL>",
        signs: &["<TOOLCALL>", "arguments"],
        list: true,
        ..PLAIN
    },
    Form {
        name: "Apriel",
        open: &["<tool_calls>"],
        close: "</tool_calls>",
        signs: &["<tool_calls>", "arguments"],
        list: true,
        ..PLAIN
    },
    // Qwen 2.5 and 3, QwQ, Hermes 2 and 3, SmolLM 3, Granite 4, and what has learned it from them.
    HERMES,
    Form {
        name: "Llama 3",
        writing: Writing::BareJson,
        open: &["<|python_tag|>"],
        signs: &["Respond in the format {\"name\": function name, \"parameters\""],
        keys: ("name", "parameters"),
        ..PLAIN
    },
];

const HERMES: Form = Form {
    name: "Hermes",
    open: &["<tool_call>"],
    close: "</tool_call>",
    signs: &["<tool_call>", "</tool_call>", "arguments"],
    without: &["<function=", "<arg_key>", "<invoke", "<param"],
    ..PLAIN
};

impl Form {
    /// The form of a template, by its source; `None` if it is none of these.
    pub fn of_template(source: &str) -> Option<&'static Self> {
        static ALL: [Form; 13] = FORMS;
        let fits = |form: &&Form| {
            form.signs.iter().all(|sign| source.contains(sign))
                && !form.without.iter().any(|sign| source.contains(sign))
        };
        ALL.iter().find(fits)
    }

    /// The form in which a model is asked to write calls whose template knows of none.
    pub fn generic() -> &'static Self {
        static GENERIC: Form = Form { name: "generic", ..HERMES };
        &GENERIC
    }

    /// The markers, which have to be part of the text that is parsed.
    pub fn markers(&self) -> impl Iterator<Item = &'static str> {
        let close = Some(self.close).filter(|close| !close.is_empty());
        self.open.iter().chain(self.inner).copied().chain(close)
    }

    /// Whether an answer may begin with a call without any marker.
    pub(super) fn is_bare(&self) -> bool {
        self.writing == Writing::BareJson
    }
}
