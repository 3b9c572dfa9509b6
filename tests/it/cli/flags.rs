//! docs/CLI.md lists every flag of every program, with the group and the default that `--help` gives, and no other.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const PAGE: &str = "docs/CLI.md";

/// A flag of one program as help and page have to agree on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flag {
    program: String,
    group: String,
    /// All its names, with the name of its value: `-m, --model-path <PATH>`.
    names: String,
    default: String,
}

impl Flag {
    /// The row of the page.
    fn row(&self, meaning: &str) -> String {
        let quoted = |text: &str| match text {
            "" => String::new(),
            text => format!("`{}`", text.replace('|', "\\|")),
        };
        let names: Vec<String> = self.names.split(", ").map(quoted).collect();
        format!("| {} | {meaning} | {} |", names.join(", "), self.default.replace('|', "\\|"))
    }

    fn place(&self) -> String {
        format!("under '## {}', '### {}'", self.program, self.group)
    }
}

/// The text of `[key: text]` in a description.
fn bracketed<'a>(description: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = description.split_once(&format!("[{key}: "))?;
    rest.split_once(']').map(|(text, _)| text)
}

fn flags_of_help(program: &str, help: &str) -> Vec<Flag> {
    let mut flags: Vec<Flag> = Vec::new();
    let mut descriptions: Vec<String> = Vec::new();
    let mut group = String::new();
    for line in help.lines() {
        let text = line.trim_start();
        match line.len() - text.len() {
            0 => {
                if let Some(heading) = text.strip_suffix(':') {
                    heading.clone_into(&mut group);
                }
            }
            2 | 6 if text.starts_with('-') => {
                flags.push(Flag {
                    program: program.to_owned(),
                    group: group.clone(),
                    names: text.to_owned(),
                    default: String::new(),
                });
                descriptions.push(String::new());
            }
            10.. => {
                if let Some(description) = descriptions.last_mut() {
                    description.push_str(text);
                    description.push(' ');
                }
            }
            _ => {}
        }
    }
    for (flag, description) in flags.iter_mut().zip(&descriptions) {
        if let Some(aliases) = bracketed(description, "alias").or(bracketed(description, "aliases")) {
            flag.names = format!("{}, {aliases}", flag.names);
        }
        bracketed(description, "default").unwrap_or_default().clone_into(&mut flag.default);
    }
    // These two are the same everywhere, and the page says so once.
    flags.retain(|f| f.names != "-h, --help" && f.names != "-V, --version");
    flags
}

/// The cells of a table's row; `\|` is a bar inside a cell.
fn cells(row: &str) -> Option<Vec<String>> {
    let row = row.strip_prefix('|')?.strip_suffix('|')?.replace("\\|", "\u{0}");
    Some(row.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect())
}

fn flags_of_page(page: &str) -> Vec<Flag> {
    let (mut program, mut group) = (String::new(), String::new());
    let mut flags = Vec::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            heading.clone_into(&mut program);
        } else if let Some(heading) = line.strip_prefix("### ") {
            heading.clone_into(&mut group);
        } else if let Some(row) = cells(line).filter(|row| row[0].starts_with("`-")) {
            let [names, meaning, default] = &row[..] else {
                panic!("{PAGE}: three cells are needed, flag, meaning and default: {line}")
            };
            assert!(!meaning.is_empty(), "{PAGE}: the meaning is missing: {line}");
            flags.push(Flag {
                program: program.clone(),
                group: group.clone(),
                names: names.replace('`', ""),
                default: default.replace('`', ""),
            });
        }
    }
    flags
}

#[test]
fn the_page_of_flags_agrees_with_help() {
    #[cfg_attr(not(feature = "server"), expect(unused_mut))]
    let mut programs = vec![
        ("generate", env!("CARGO_BIN_EXE_generate")),
        ("eval_model", env!("CARGO_BIN_EXE_eval_model")),
        ("bench_model", env!("CARGO_BIN_EXE_bench_model")),
        ("micro_bench", env!("CARGO_BIN_EXE_micro_bench")),
        ("test_backend", env!("CARGO_BIN_EXE_test_backend")),
    ];
    #[cfg(feature = "server")]
    programs.push(("serve", env!("CARGO_BIN_EXE_serve")));
    let mut helped = BTreeSet::new();
    for (program, path) in &programs {
        let output = Command::new(path).arg("--help").output().expect("the program starts");
        assert!(output.status.success(), "{program} --help failed");
        let flags = flags_of_help(program, &String::from_utf8(output.stdout).expect("help is UTF-8"));
        assert!(flags.len() > 5, "{program} --help was not understood: {flags:?}");
        helped.extend(flags);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let mut listed = flags_of_page(&std::fs::read_to_string(path).expect("the page is there"));
    // A program that is not built cannot be asked.
    listed.retain(|flag| cfg!(feature = "server") || flag.program != "serve");
    let structured = |flag: &Flag| flag.names.contains("--json-schema") || flag.names.contains("--grammar");
    listed.retain(|flag| cfg!(feature = "structured") || !structured(flag));
    let known: BTreeSet<Flag> = listed.iter().cloned().collect();
    assert_eq!(known.len(), listed.len(), "{PAGE} has a row twice");

    let mut wrong = String::new();
    for flag in helped.difference(&known) {
        wrong += &format!("add {}:\n    {}\n", flag.place(), flag.row("(what it does)"));
    }
    for flag in known.difference(&helped) {
        wrong += &format!("remove {}:\n    {}\n", flag.place(), flag.row("..."));
    }
    assert!(wrong.is_empty(), "{PAGE} and --help differ; in {PAGE}\n{wrong}");
}

#[test]
fn help_and_page_are_understood() {
    let help = "\
Does things.

Options:
  -h, --help
          Print help

Model:
  -m, --model-path <PATH>
          A model, or a name
          of one [default: the demo
          model]

      --pack-cache <PATH|off>
          Where

          [default: a]
          [possible values: a, b]

      --lock
          Keep

          [alias: --mlock]
";
    let page = "\
## generate
### Model
| flag | meaning | default |
|---|---|---|
| `-m`, `--model-path <PATH>` | a model | the demo model |
| `--pack-cache <PATH\\|off>` | where | `a` |
| `--lock`, `--mlock` | keep | |
";
    let flags = flags_of_help("generate", help);
    assert_eq!(flags, flags_of_page(page));
    assert_eq!(flags[1].row("where"), "| `--pack-cache <PATH\\|off>` | where | a |");
    let other = flags_of_page(&page.replace("`a`", "`b`").replace("### Model", "### Text"));
    assert!(flags.iter().zip(&other).all(|(a, b)| a != b));
}
