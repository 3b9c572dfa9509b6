//! Templates that ask for all of the time, the memory or the stack: each gets an answer, and most of them a refusal.

use super::super::limits::OUTPUT;
use super::super::{Date, Kind, Template};

/// The kind of refusal, or none.
fn kind(source: &str) -> Option<Kind> {
    let date = Date::new(2026, 1, 31).unwrap();
    match Template::parse(source).and_then(|template| template.render(&[], date)) {
        Ok(text) => {
            assert!(text.len() <= OUTPUT);
            None
        }
        Err(fault) => {
            assert!(fault.what.len() < 300, "{}", fault.what);
            Some(fault.kind)
        }
    }
}

fn nested(open: &str, inner: &str, close: &str) -> String {
    format!("{{{{ {}{inner}{} }}}}", open.repeat(20_000), close.repeat(20_000))
}

#[test]
fn what_takes_too_much_is_refused() {
    for source in [
        // One operation with a huge result.
        "{{ 'x' * 1000000000 }}",
        "{{ [0] * 1000000000 }}",
        "{{ range(1000000000) }}",
        "{{ range(0 - 10**30, 10**30)|list }}",
        "{{ 'a'|center(1000000000) }}{{ 'a'.ljust(1000000000) }}",
        "{{ 'a\nb'|indent(1000000000) }}",
        "{{ '%1000000000s' % 1 }}",
        "{{ '%*d' % (1000000000, 3) }}",
        "{{ '%.1000000000f' % 1.0 }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ '{:.1000000000f}'.format(1.0) }}",
        "{{ [1]|batch(1000000000, 0)|list }}",
        "{{ [1]|slice(1000000000)|list }}",
        "{{ 'a\t'.expandtabs(1000000000) }}",
        "{{ {'a': 1}|tojson(indent=1000000000) }}",
        "{{ ('a' * 10000000).replace('a', 'b' * 100000) }}",
        "{{ 9**9**9 }}",
        "{{ 2**100000000 }}",
        "{{ [[1] * 100000] * 100000 }}",
        // Small steps that double.
        "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set x = [1] * 1000 %}{% set y = [x] * 1000 %}{% set z = [y] * 1000 %}{{ z }}",
        "{% for a in range(100000) %}{{ 'y' * 10000 }}{% endfor %}",
        // Time.
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% set x = 'a' * 10000000 %}{% for a in range(100000) %}{% if 'b' in x %}{% endif %}{% endfor %}",
        "{% set x = 'a' * 10000000 %}{% for a in range(100000) %}{% if x == x ~ '' %}{% endif %}{% endfor %}",
        // Stack.
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for a in [[1]] recursive %}{{ loop([a]) }}{% endfor %}",
        "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}",
        "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = {'a': ns.x} %}{% endfor %}",
        "{% set ns = namespace(x=1) %}{% set ns.x = ns %}{{ ns }}",
    ] {
        assert_eq!(kind(source), Some(Kind::TooMuch), "{source}");
    }
    assert_eq!(kind(&"x".repeat(2_000_000)), Some(Kind::TooMuch));
}

#[test]
fn what_is_nested_too_deeply_is_no_template() {
    let sources = [
        nested("(", "1", ")"),
        nested("[", "", "]"),
        nested("-", "1", ""),
        nested("not ", "1", ""),
        nested("1 + ", "1", ""),
        nested("", "a", ".a"),
        nested("", "a", "|trim"),
        nested("", "a", "[0]"),
        nested("", "a", "(0)"),
        nested("a[", "0", "]"),
        nested("a(", "0", ")"),
        nested("a if a else ", "1", ""),
        nested("{1:", "1", "}"),
        nested("", "1", " is odd"),
        nested("1 and ", "1", ""),
        nested("1 or ", "1", ""),
        nested("2 ** ", "1", ""),
        "{% if 1 %}".repeat(100_000),
        "{% for a in b %}".repeat(60_000),
        "{% macro a() %}".repeat(60_000),
        "{% set a %}".repeat(60_000),
        "{% generation %}".repeat(60_000),
        format!("{{% set {}a{} = 1 %}}", "(".repeat(100_000), ")".repeat(100_000)),
    ];
    for source in sources {
        assert_eq!(kind(&source), Some(Kind::Syntax), "{}", &source[..40]);
    }
}

#[test]
fn what_is_only_odd_has_an_end() {
    let least = "(0-170141183460469231731687303715884105727 - 1)";
    for source in [
        format!("{{{{ {least} // -1 }}}}"),
        format!("{{{{ {least} % -1 }}}}"),
        format!("{{{{ -{least} }}}}"),
        format!("{{{{ {least}|abs }}}}"),
        format!("{{{{ [1, 2, 3][{least}:170141183460469231731687303715884105727:{least}] }}}}"),
        "{{ 1e308 * 10 }}{{ (1e308 * 10)|int }}{{ 1e400 }}{{ 5.5|round(-400) }}".into(),
        "{% set ns = namespace(x=1) %}{% set ns.x = [ns] %}{{ ns.x == [ns.x] }}{{ ns.x|tojson }}".into(),
        "{% set ns = namespace(x=1) %}{% for i in range(100000) %}{% set ns.x = namespace(y=ns.x) %}{% endfor %}{{ ns.x }}"
            .into(),
        "{% set ns = namespace(l=1) %}{% for i in range(10000) %}{% macro m() %}{{ ns }}{% endmacro %}{% set ns.l = m %}\
         {% endfor %}"
            .into(),
        "{% for i in [1] %}{{ loop.changed(loop) }}{{ [loop]|tojson }}{% endfor %}".into(),
        "{% if 0 %}".to_owned() + &"{% elif 0 %}".repeat(80_000) + "{% endif %}",
        format!("{{{{ 1{} }}}}", "~1".repeat(100_000)),
        format!("{{{{ 1{} }}}}", " < 1".repeat(100_000)),
        "{".repeat(900_000),
        "{{".repeat(400_000),
        "{%".repeat(400_000),
        "{#".repeat(400_000),
        "{% raw %}".to_owned() + &"{%".repeat(400_000),
        "{{ ('{' * 100000).format() }}{{ ('{0:' * 100000).format(1) }}".into(),
        "{{ ('%' * 1000001) % () }}".into(),
        "{{ '%(a' % {} }}{{ '{0.__class__}'.format(1) }}".into(),
    ] {
        let _ = kind(&source);
    }
}

#[test]
fn a_caller_needs_no_stack_for_it() {
    let sources = [
        nested("(", "1", ")"),
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".into(),
        "{{ ".to_owned() + &"[".repeat(120) + &"]".repeat(120) + "|tojson }}",
    ];
    let work = move || sources.iter().map(|source| kind(source)).collect::<Vec<_>>();
    let thread = std::thread::Builder::new().stack_size(128 << 10).spawn(work).unwrap();
    assert_eq!(thread.join().unwrap(), [Some(Kind::Syntax), Some(Kind::TooMuch), None]);
}
