//! Templates of the kinds that models ship with. The expected texts are those of Python's Jinja, set up as in
//! `transformers`.

use super::*;

/// The structure of Llama 3.2's template.
const LLAMA_3_2: &str = r###"{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message is taken out, if there is one. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\n" }}
{{- "Today Date: " + date_string + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("one tool call at a time") }}
        {%- endif %}
    {%- else %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\n\n" + message.content | tojson + "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"###;

const CHATML: &str = r###"{% for message in messages %}
    {% if loop.first and message['role'] != 'system' %}
        {{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}
    {% endif %}
    {{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\n' }}
{% endif %}
"###;

/// The structure of Llama 2's template.
const LLAMA_2: &str = r###"{% if messages[0]['role'] == 'system' %}{#
#}{% set loop_messages = messages[1:] %}{#
#}{% set system_message = messages[0]['content'] %}{#
#}{% else %}{#
#}{% set loop_messages = messages %}{#
#}{% set system_message = false %}{#
#}{% endif %}{#
#}{% for message in loop_messages %}{#
#}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{#
#}{% if loop.index0 == 0 and system_message != false %}{#
#}{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}{#
#}{% else %}{#
#}{% set content = message['content'] %}{#
#}{% endif %}{#
#}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{#
#}{% endfor %}"###;

/// Methods of Python's strings, namespaces, loop controls, macros, JSON.
const FEATURES: &str = r###"{% set ns = namespace(last=-1, turns=[]) %}
{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{% for m in messages %}
{% if m.role == 'skip' %}{% continue %}{% endif %}
  {{ loop.index0 }}{{ '*' if loop.index0 == ns.last }} {{ m.content.split('</think>')[-1].lstrip('\n') }}|{{ m.role.upper() }}|{{ m.get('name', '-') }}|{{ m.content.startswith('a') and m.content.endswith('z') }}
{% if m.role == 'stop' %}{% break %}{% endif %}
{% endfor %}
{% macro tag(name) %}[{{ name }}]{% endmacro %}
{{ tag('end') }}{{ nothing }}{{ messages[0] | tojson }}
{{ {'a': [1, {'é': "<&'\""}], 'b': [], 'c': none, 'd': true} | tojson(indent=2) }}
"###;

fn day() -> Date {
    Date::new(2026, 1, 31).unwrap()
}

fn messages(turns: &[(&str, &str)]) -> Vec<Message> {
    turns.iter().map(|&(role, content)| Message::new(role, content)).collect()
}

fn render(source: &str, turns: &[(&str, &str)], generate: bool, bos: &str) -> Result<String> {
    let special = SpecialTexts { bos: bos.into(), eos: "</s>".into() };
    ChatTemplate::new(source)?.render(&ChatInput::new(&messages(turns), generate), &special, day())
}

#[test]
fn llama_3_2_renders() {
    assert_eq!(
        render(LLAMA_3_2, &[("user", " Hi there \n")], true, "<|begin_of_text|>").unwrap(),
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 31 Jan 2026\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi there<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    );
    assert_eq!(
        render(
            LLAMA_3_2,
            &[
                ("system", "Be brief."),
                ("user", "Hi"),
                ("assistant", "Hello!"),
                ("user", "{{ 1 + 1 }} <|eot_id|>")
            ],
            true,
            "<|begin_of_text|>"
        )
        .unwrap(),
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 31 Jan 2026\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n{{ 1 + 1 }} <|eot_id|><|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    );
    assert_eq!(
        render(LLAMA_3_2, &[("user", "Hi"), ("tool", "é \"x\" <b>")], false, "<|begin_of_text|>").unwrap(),
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 31 Jan 2026\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n\"é \\\"x\\\" <b>\"<|eot_id|>"
    );
}

#[test]
fn chatml_renders() {
    assert_eq!(
        render(CHATML, &[("user", "Hi\n"), ("assistant", " Yo"), ("user", "bye")], true, "<s>").unwrap(),
        "        <|im_start|>system\nBe kind.<|im_end|>\n\n    <|im_start|>user\nHi\n<|im_end|>\n\n    <|im_start|>assistant\n Yo<|im_end|>\n\n    <|im_start|>user\nbye<|im_end|>\n\n<|im_start|>assistant\n\n"
    );
    assert_eq!(
        render(CHATML, &[("system", "S"), ("user", "Hi")], false, "<s>").unwrap(),
        "    <|im_start|>system\nS<|im_end|>\n\n    <|im_start|>user\nHi<|im_end|>\n\n"
    );
}

#[test]
fn llama_2_renders() {
    assert_eq!(
        render(
            LLAMA_2,
            &[("system", "Sys"), ("user", " a "), ("assistant", " b\n"), ("user", "c")],
            true,
            "<s>"
        )
        .unwrap(),
        "<s>[INST] <<SYS>>\nSys\n<</SYS>>\n\n a [/INST] b </s><s>[INST] c [/INST]"
    );
}

#[test]
fn what_templates_use_of_python_works() {
    assert_eq!(
        render(
            FEATURES,
            &[
                ("user", "a<think>x</think>\n\nz"),
                ("skip", "no"),
                ("user", "az"),
                ("stop", "end"),
                ("user", "never")
            ],
            false,
            "<s>"
        )
        .unwrap(),
        "  0 z|USER|-|True\n  2 az|USER|-|True\n  3 end|STOP|-|False\n[end]{\"role\": \"user\", \"content\": \"a<think>x</think>\\n\\nz\"}\n{\n  \"a\": [\n    1,\n    {\n      \"é\": \"<&'\\\"\"\n    }\n  ],\n  \"b\": [],\n  \"c\": null,\n  \"d\": true\n}"
    );
}

#[test]
fn an_exception_of_the_template_is_passed_on() {
    let error = render(LLAMA_2, &[("assistant", "x")], true, "<s>").unwrap_err();
    let reason = "Conversation roles must alternate user/assistant/user/assistant/...".to_owned();
    assert_eq!(error, ChatError::Refused { reason });
}

#[test]
fn a_broken_template_is_reported_with_its_line() {
    for (source, line) in [("a\n{% if x %}", "2"), ("{{ }}", "1"), ("\n\n{% nonesuch %}", "3")] {
        let message = ChatTemplate::new(source).unwrap_err().to_string();
        assert!(message.starts_with("the model's chat template is broken: "), "{message}");
        assert!(message.contains(&format!("line {line})")) && !message.contains('\n'), "{message}");
    }
}

#[test]
fn a_template_gets_the_date() {
    assert_eq!(render("{{ strftime_now('%d %b %Y') }}", &[], true, "").unwrap(), "31 Jan 2026");
    assert!(ChatTemplate::new("{{ strftime_now('%Y') }}").unwrap().uses_date());
    assert!(!ChatTemplate::new("{{ bos_token }}").unwrap().uses_date());
    let date = |text: &str| text.parse::<Date>().map(|date| date.to_string());
    assert_eq!(date("2024-02-29"), Ok("2024-02-29".into()));
    for wrong in ["2026-02-29", "2026-1-31", "26-01-31", "2026-13-01", "2026-01-00", "2026-01-01-", "", "x"] {
        assert_eq!(date(wrong), Err(()), "{wrong}");
    }
}

#[test]
fn a_conversation_comes_as_json() {
    let all = "{{ messages|tojson }} {{ tools|tojson }} {{ add_generation_prompt }} {{ mode }}";
    let render = |json: &str| {
        let input = ChatInput::from_json(json)?;
        ChatTemplate::new(all)?.render(&input, &SpecialTexts::default(), day())
    };
    assert_eq!(
        render(r#"[{"role": "user", "content": "a", "name": null}]"#).unwrap(),
        r#"[{"role": "user", "content": "a"}] null True "#
    );
    assert_eq!(
        render(
            r#"{"messages": [], "tools": [{"b": 1, "a": 2}], "add_generation_prompt": false, "mode": "x"}"#
        )
        .unwrap(),
        r#"[] [{"b": 1, "a": 2}] False x"#
    );
    let reasoned = render(r#"[{"role": "assistant", "reasoning": "r"}]"#).unwrap();
    assert!(reasoned.contains(r#""reasoning_content": "r""#) && reasoned.contains(r#""thinking": "r""#));
    for (wrong, says) in [
        ("x", "no JSON"),
        ("7", "an object with 'messages'"),
        ("{}}", "no JSON"),
        (r#"{"messages": 1}"#, "'messages' has to be a list"),
        ("[1]", "message 1 has to be an object"),
        (r#"[{"role": "user"}, {"content": "a"}]"#, "message 2 has no 'role'"),
        (r#"{"messages": [], "tools": {}}"#, "'tools' has to be a list"),
        (r#"{"messages": [], "add_generation_prompt": 1}"#, "'add_generation_prompt'"),
    ] {
        let error = ChatInput::from_json(wrong).unwrap_err().to_string();
        assert!(error.contains(says), "{wrong}: {error}");
    }
}

#[test]
fn undefined_is_empty_but_has_no_attributes() {
    let source = "{{ a }}{{ messages[0].name }}{% for x in b %}{{ x }}{% endfor %}{% if c %}c{% endif %}.";
    assert_eq!(render(source, &[("user", "")], true, "").unwrap(), ".");
    let error = render("\n{{ a.b }}", &[], true, "").unwrap_err();
    assert!(matches!(&error, ChatError::Failed { reason } if reason.contains("line 2")), "{error}");
}

#[test]
fn reasoning_of_a_message_is_passed_as_that_of_a_conversation_in_json() {
    let split = Split { reasoning: "Why?".into(), answer: "So.".into() };
    let messages = [Message::new("user", "Hi"), Message::answer(split), Message::new("user", "And?")];
    let json = r#"[{"role": "user", "content": "Hi"},
                   {"role": "assistant", "content": "So.", "reasoning_content": "Why?"},
                   {"role": "user", "content": "And?"}]"#;
    let input = ChatInput::new(&messages, true);
    assert_eq!(input, ChatInput::from_json(json).unwrap());
    // Templates leave it out before the last question, or never.
    let source = "{% for m in messages %}{% if m.reasoning_content and keep %}<think>{{ m.reasoning_content }}</think>\
                  {% endif %}{{ m.content }};{% endfor %}";
    let text = |input: &ChatInput| {
        ChatTemplate::new(source).unwrap().render(input, &SpecialTexts::default(), day()).unwrap()
    };
    assert_eq!(text(&input), "Hi;So.;And?;");
    assert_eq!(text(&input.with("keep", true.into())), "Hi;<think>Why?</think>So.;And?;");
    assert_eq!(Message::answer(Split::default()).reasoning, None);
}
