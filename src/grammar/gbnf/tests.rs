use super::*;
use crate::grammar::tests::{accepts, bytes};
use crate::sampling::Constraint;

#[track_caller]
fn check(grammar: &str, texts: &[&str], others: &[&str]) {
    let grammars = bytes();
    let own = Gbnf::read(grammar).unwrap();
    // Both shapes of a grammar without recursion have the same texts.
    let shapes =
        if own.is_regular() { &[Shape::OneTerminal, Shape::Characters][..] } else { &[Shape::Characters] };
    for &shape in shapes {
        let lark = own.to_lark(shape);
        let matcher = grammars.matcher(&Constraint::Lark(lark.clone()));
        let matcher = matcher.unwrap_or_else(|error| panic!("{error}\n{lark}"));
        for text in texts {
            assert!(accepts(&matcher, text), "{shape:?} does not take {text:?}\n{lark}");
        }
        for text in others {
            assert!(!accepts(&matcher, text), "{shape:?} takes {text:?}\n{lark}");
        }
    }
    // So has the one with longer terminals, and whichever is taken.
    let folded = own.folded().map(|folded| Constraint::Lark(folded.to_lark(Shape::Characters)));
    for constraint in folded.into_iter().chain([Constraint::Gbnf(grammar.into())]) {
        let matcher = grammars.matcher(&constraint).unwrap_or_else(|error| panic!("{error}\n{constraint:?}"));
        assert!(texts.iter().all(|text| accepts(&matcher, text)), "{constraint:?}");
        assert!(!others.iter().any(|text| accepts(&matcher, text)), "{constraint:?}");
    }
}

#[track_caller]
fn refused(grammar: &str, part: &str) {
    let error = Gbnf::read(grammar).unwrap_err().to_string();
    assert!(error.contains(part), "{error}");
}

#[test]
fn parts_of_grammars_mean_what_they_mean() {
    check("root ::= \"a\"", &["a"], &["", "b", "aa"]);
    check("root ::= \"\"", &[""], &["a"]);
    check("root ::= \"a\" | \"b\" other\nother ::= \"c\"?", &["a", "b", "bc"], &["c", "ac", "ab"]);
    check("root ::= [a-c]+ [^a-c]*", &["a", "abcx\n", "c\u{e9}"], &["", "x", "axa"]);
    check("root ::= [-a] [b-] [\\]\\[^]", &["--]", "ab[", "a-^"], &["b-]", "aa]"]);
    check("root ::= .", &["a", "\n", "\u{20ac}", "\u{1f600}"], &["", "ab"]);
    check("root ::= \"\\x41\\u00e9\\U0001F600\\t\\r\\n\\\\\\\"\"", &["A\u{e9}\u{1f600}\t\r\n\\\""], &["A"]);
    check("root ::= [\\x30-\\x32\\u20ac]", &["0", "2", "\u{20ac}"], &["3", "\u{20ab}"]);
    check(
        "root ::= ( \"a\" ( \"b\" | \"c\" )* )? \"d\" # the end\n# and more",
        &["d", "ad", "abcbd"],
        &["bd", "a"],
    );
    check("root ::=\n  \"a\" (\n # in between\n \"b\"\n | \"c\"\n )\n  \n", &["ab", "ac"], &["a"]);
    check("root ::= \"a\"\n  | \"b\"\r\n  | x\r\nx ::= \"c\"", &["a", "b", "c"], &["ab"]);
    // A text that goes on where a shorter match would have to end.
    check("root ::= [a-z]+ \"end\"", &["xend", "endend", "enend"], &["end", "xen", "xendx"]);
    check(
        "root ::= x (\",\" x)*\nx ::= \"a\" | \"ab\" | \"b\"",
        &["a", "ab,b", "b,ab,a"],
        &["aab", ",a", "a,"],
    );
    check("root ::= \"if\" | [a-z]+ \"!\"", &["if", "if!", "iff!"], &["i", "iff"]);
}

#[test]
fn repetitions_are_counted() {
    check("root ::= \"a\"{3}", &["aaa"], &["aa", "aaaa"]);
    check("root ::= \"ab\"{2,}", &["abab", "ababab"], &["ab", "aba"]);
    check("root ::= [ab]{1,3} \"c\"{0}", &["a", "aba"], &["", "abab", "ac"]);
    check("root ::= (\"a\" [0-9]?){ 0 , 2 }", &["", "a1", "aa", "a1a2"], &["1", "aaa"]);
    check("root ::= x* x? x+\nx ::= \"a\"", &["a", "aaaa"], &["", "b"]);
}

/// The terminals of a grammar in its folded form.
fn patterns(grammar: &str) -> Vec<String> {
    let folded = Gbnf::read(grammar).unwrap().folded();
    let lark = folded.map(|folded| folded.to_lark(Shape::Characters)).unwrap_or_default();
    let long = |part: &&str| part.starts_with("/(?:");
    lark.split_whitespace().filter(long).map(str::to_owned).collect()
}

#[test]
fn what_has_an_end_of_its_own_is_one_terminal() {
    let quoted = patterns("root ::= \"'\" [a-z]* \"'\" | \"(\" root* \")\"");
    assert_eq!(quoted, ["/(?:\\x{27})(?:[a-z]){0,}(?:\\x{27})/"]);
    // The texts of JSON are among them, though keys go on with a colon.
    let json = patterns(include_str!("../../../tests/fixtures/grammars/json.gbnf"));
    assert!(json.iter().any(|pattern| pattern.contains("[^")), "{json:?}");
    // A word has no end; a quote that stands alone could be the beginning of a longer terminal.
    assert!(patterns("root ::= [a-z]+ root | [a-z]").is_empty());
    let other = "root ::= \"'\" [a-z]* \"'\" root? | [^a] root";
    assert!(patterns(other).iter().all(|pattern| !pattern.contains("[a-z]")));
    check(other, &["'a'", "''", "xx'abc'", "'b'''"], &["", "a", "xa", "'", "'b", "'abc'x"]);
    check("root ::= \"if\" root | \"iffy\" | \"end\"", &["ififend", "ififfy", "iffy"], &["if", "iff"]);
}

#[test]
fn recursion_is_followed() {
    check("root ::= \"(\" root \")\" | \"x\"", &["x", "(x)", "(((x)))"], &["", "(x", "((x)", "x)"]);
    check("root ::= root \"a\" | \"b\"", &["b", "baa"], &["", "a", "ab"]);
    check("root ::= [a-z]+ | [a-z]+ \"=\" root", &["ab", "a=bc=d"], &["=", "a=", "a=1"]);
    check("root ::= \"a\" root \"a\" | [ab]", &["a", "b", "aba", "aaa", "aabaa"], &["ab", "aab", ""]);
    check(
        "root ::= \"<\" name \">\" root? \"</\" name \">\"\nname ::= [a-z]+",
        &["<a></a>", "<a><b></b></a>"],
        &["<a>", "<a></a>x"],
    );
}

#[test]
fn grammars_of_all_kinds_are_followed() {
    let fixture = |name: &str| {
        let path = format!("{}/tests/fixtures/grammars/{name}.gbnf", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    check(
        &fixture("json"),
        &["{}", " [1, 2.5e-3, \"a\\u00e9\\n\", true]", "{\"a\": {\"b\": [null, -0]}\n  }", "\"\u{20ac}\""],
        &["{", "[1,]", "{\"a\" 1}", "01", "\"\n\"", "nul"],
    );
    check(&fixture("arithmetic"), &["1+2=x\n", "(a+12)*b_1 = y\nx=z\n"], &["1+=x\n", "1=2\n", "1+2=x"]);
    check(
        &fixture("moves"),
        &["1. e4 e5\n2. Nf3 Nc6+\n", "1. O-O-O exd5#\n10. e8=Q O-O\n"],
        &["1. e4 e5\n", "1. e9 e5\n2. a1 a2\n"],
    );
    check(
        &fixture("program"),
        &["", "int main(char c){return 1+f(2*x);}int g(){x = (1);while(a < 2){y = 3;}}"],
        &["int main", "int f(){return;}", "f(){}"],
    );
    check(&fixture("characters"), &["ひらがな 漢字、\nカ", "一\u{1f600}"], &["abc", "", "ひ  ら"]);
    check(
        &fixture("list"),
        &["- a\n", "- one two\n- \u{20ac}\n"],
        &["", "a\n", "- \n", "- a", "- a\u{2028}\n"],
    );
}

/// The grammars that llama.cpp has as examples, where its source is at hand.
#[test]
fn grammars_of_llama_cpp_are_followed() {
    let test = "grammars_of_llama_cpp_are_followed";
    let Some(dir) = std::env::var_os("LLAMA_CPP_SOURCE") else {
        return crate::skip::inapplicable(test, "LLAMA_CPP_SOURCE names no source of llama.cpp");
    };
    let mut count = 0;
    for entry in std::fs::read_dir(std::path::Path::new(&dir).join("grammars")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "gbnf") {
            let grammar = std::fs::read_to_string(&path).unwrap();
            let compiled = bytes().matcher(&Constraint::Gbnf(grammar));
            assert!(compiled.is_ok(), "{}: {}", path.display(), compiled.err().unwrap());
            count += 1;
        }
    }
    assert!(count > 5);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    refused("", "no rule 'root'");
    refused("a ::= \"b\"", "no rule 'root'");
    refused("root ::= other", "uses the rule 'other'");
    refused("root ::= \"a\"\nroot ::= \"b\"", "the rule 'root' is there twice");
    refused("root ::= \"a", "line 1, column 12: a '\"' is missing");
    refused("root ::= [a", "a ']' is missing");
    refused("root ::= [z-a]", "the range z to a goes backwards");
    refused("root ::= []", "a set of no characters");
    refused("root ::= \"a\"\n  \"b\"", "line 2, column 3");
    refused("root ::= (\"a\"", "a ')' is missing");
    refused("root ::= \"a\")", "')' is not expected");
    refused("root = \"a\"", "'::=' is missing");
    refused("root ::= \"\\q\"", "no escape '\\q'");
    refused("root ::= \"\\xZZ\"", "2 hexadecimal digits");
    refused("root ::= \"\\uD800\"", "no character D800");
    refused("root ::= \"a\"{2,1}", "less than its first");
    refused("root ::= \"a\"{,1}", "a number is missing");
    refused("root ::= \"a\"{99999}", "more than the 10000");
    refused("root ::= \"a\"{99999999999999}", "too many");
    refused("root ::= <think> \"a\"", "tokens such as '<think>' are not supported");
    refused("root ::= !<[12]>", "tokens such as '!<[12]>'");
    refused(&format!("root ::= {}", "(".repeat(300)), "nested more than 200 deep");
}
