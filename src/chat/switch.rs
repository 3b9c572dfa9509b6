//! The variable by which a chat template lets a model reason before it answers, or not.

use serde_json::{Value, json};

/// What a variable is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    Flag(bool),
    Number(i64),
    Text(&'static str),
}

impl Setting {
    fn value(self) -> Value {
        match self {
            Setting::Flag(flag) => json!(flag),
            Setting::Number(number) => json!(number),
            Setting::Text(text) => json!(text),
        }
    }

    /// Whether a template can know this value.
    fn is_in(self, source: &str) -> bool {
        match self {
            Setting::Text(text) => ['"', '\''].iter().any(|q| source.contains(&format!("{q}{text}{q}"))),
            _ => true,
        }
    }
}

/// A variable that turns reasoning on and off.
#[derive(Debug, PartialEq, Eq)]
pub struct Switch {
    variable: &'static str,
    on: Setting,
    off: Setting,
}

const fn flag(variable: &'static str) -> Switch {
    Switch { variable, on: Setting::Flag(true), off: Setting::Flag(false) }
}

const fn text(variable: &'static str, on: &'static str, off: &'static str) -> Switch {
    Switch { variable, on: Setting::Text(on), off: Setting::Text(off) }
}

/// The switches that published templates have, the most common first.
const SWITCHES: [Switch; 8] = [
    // Qwen 3, SmolLM 3, GLM, Gemma 4, Apertus, Command R7B, Nemotron 3, DeepSeek V3.1 and later, ...
    flag("enable_thinking"),
    // Granite 3
    flag("thinking"),
    // Command A
    flag("reasoning"),
    // MiniMax M3
    text("thinking_mode", "enabled", "disabled"),
    // Seed-OSS: tokens, -1 for as many as it takes
    Switch { variable: "thinking_budget", on: Setting::Number(-1), off: Setting::Number(0) },
    // Hunyuan, Solar: degrees, of which one is none. GPT-OSS has low, medium and high, and so no switch.
    text("reasoning_effort", "high", "no_think"),
    text("reasoning_effort", "high", "none"),
    text("reasoning_effort", "high", "minimal"),
];

impl Switch {
    /// The ones that a template may have, by its source.
    pub fn candidates(source: &str) -> Vec<&'static Switch> {
        let may = |s: &&Switch| source.contains(s.variable) && s.on.is_in(source) && s.off.is_in(source);
        SWITCHES.iter().filter(may).collect()
    }

    /// The variable, and its value for on or off.
    pub fn set(&self, on: bool) -> (&'static str, Value) {
        (self.variable, if on { self.on } else { self.off }.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{ChatError, ChatTemplate, Date, SpecialTexts};

    fn find(source: &str, on: bool) -> Result<(&'static str, Value), ChatError> {
        ChatTemplate::new(source).unwrap().switch(on, &SpecialTexts::default(), Date::today())
    }

    #[test]
    fn the_switch_is_the_variable_that_changes_the_prompt() {
        let closes =
            "{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}";
        assert_eq!(find(closes, false), Ok(("enable_thinking", json!(false))));
        assert_eq!(find(closes, true), Ok(("enable_thinking", json!(true))));
        assert_eq!(find("{% if thinking %}Think!{% endif %}", true), Ok(("thinking", json!(true))));
        // The first of two names for one thing.
        let two =
            "{% if not thinking is defined %}{% set thinking = enable_thinking %}{% endif %}{{ thinking }}";
        assert_eq!(find(two, true), Ok(("enable_thinking", json!(true))));
        let mode = "{% if thinking_mode == 'disabled' %}</mm:think>{% elif thinking_mode == 'enabled' %}x{% endif %}";
        assert_eq!(find(mode, false), Ok(("thinking_mode", json!("disabled"))));
        let budget = "{% if thinking_budget == 0 %}Do not think.{% endif %}";
        assert_eq!(find(budget, false), Ok(("thinking_budget", json!(0))));
        let effort = "{% if reasoning_effort not in [\"high\", \"no_think\"] %}{{ raise_exception('no') }}{% endif %}\
                      {{ reasoning_effort }}";
        assert_eq!(find(effort, false), Ok(("reasoning_effort", json!("no_think"))));
    }

    #[test]
    fn a_name_alone_is_no_switch() {
        for source in [
            "{{ messages[0].content }}",
            // A name that the template sets itself, one in a message, one in words.
            "{% set enable_thinking = true %}{{ enable_thinking }}",
            "{{ messages[0].thinking }}",
            "Use enable_thinking. {{ messages[0].content }}",
            // Degrees, none of which is off.
            "{% if reasoning_effort is not defined %}{% set reasoning_effort = 'medium' %}{% endif %}\
             {{ reasoning_effort }}",
            // Neither can be rendered.
            "{{ enable_thinking }}{{ raise_exception('never') }}",
        ] {
            assert_eq!(find(source, true), Err(ChatError::NoSwitch), "{source}");
        }
    }
}
