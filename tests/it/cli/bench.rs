//! `bench_model` and `micro_bench`: what is measured is what was asked for. No test looks at how fast it was.

use assert_cmd::Command;
use serde_json::Value;

use super::models::Copy;
use super::program::tiny;

/// Two threads, where the machine has two cores to run them on.
fn two_threads() -> String {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2)).to_string()
}

/// The standard output of a run that must succeed.
#[track_caller]
fn stdout(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A run that must fail with this exit code and one line on standard error that holds all of `parts`.
#[track_caller]
fn refuses(program: &str, args: &[&str], code: i32, parts: &[&str]) {
    let output = Command::new(program).args(args).output().expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?} printed {:?}", String::from_utf8_lossy(&output.stdout));
    assert!(!stderr.contains("panicked"), "{stderr}");
    let line = stderr.lines().find(|l| l.starts_with("error: ")).unwrap_or_default();
    for part in parts {
        assert!(line.contains(part), "{args:?}: '{part}' is not in: {stderr}");
    }
}

mod model {
    use super::*;

    const PROGRAM: &str = env!("CARGO_BIN_EXE_bench_model");

    fn json(args: &[&str]) -> Vec<Value> {
        let text = stdout(PROGRAM, &[args, &["-o", "json"]].concat());
        serde_json::from_str::<Vec<Value>>(&text).expect("a JSON array")
    }

    fn numbers(list: &Value) -> Vec<f64> {
        list.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
    }

    /// Whether two numbers agree to within the rounding of f64 and of whole nanoseconds.
    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-6 * a.abs().max(b.abs())
    }

    #[test]
    fn json_holds_what_was_asked_for_and_adds_up() {
        let threads = two_threads();
        let rows = json(&[
            "--shape",
            "demo",
            "-p",
            "8",
            "-n",
            "4",
            "-pg",
            "6,2",
            "-d",
            "0,5",
            "-r",
            "3",
            "-t",
            &threads,
            "--prefill-chunk",
            "3",
        ]);
        let tests: Vec<_> =
            rows.iter().map(|r| ["n_prompt", "n_gen", "n_depth"].map(|k| r[k].as_u64().unwrap())).collect();
        assert_eq!(tests, [[8, 0, 0], [0, 4, 0], [6, 2, 0], [8, 0, 5], [0, 4, 5], [6, 2, 5]]);
        for row in &rows {
            let (ts, ns) = (numbers(&row["samples_ts"]), numbers(&row["samples_ns"]));
            assert_eq!((ts.len(), ns.len()), (3, 3));
            let tokens = row["n_prompt"].as_f64().unwrap() + row["n_gen"].as_f64().unwrap();
            for (ts, ns) in ts.iter().zip(&ns) {
                assert!(close(ts * ns, tokens * 1e9), "{ts} {ns} {tokens}");
            }
            let mean = ts.iter().sum::<f64>() / 3.0;
            assert!(close(row["avg_ts"].as_f64().unwrap(), mean));
            let variance = ts.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / 2.0;
            assert!((row["stddev_ts"].as_f64().unwrap() - variance.sqrt()).abs() <= 1e-6 * mean);
            assert!((row["avg_ns"].as_f64().unwrap() - ns.iter().sum::<f64>() / 3.0).abs() <= 1.0);
            assert_eq!(row["n_threads"].to_string(), threads);
            assert_eq!(row["n_batch"], 3);
            assert_eq!(row["backends"], "cpu");
            assert_eq!(row["type_k"], "f16");
            assert_eq!(row["type_w"], "bf16");
            assert_eq!(row["model_n_params"], 1_443_456);
            for text in ["build_commit", "cpu_info", "model_filename", "model_type", "test_time"] {
                assert!(row[text].as_str().is_some_and(|s| !s.is_empty()), "{text}");
            }
        }
    }

    #[test]
    fn lists_make_every_combination() {
        // The second is another number only where there is another core.
        let threads = ["1", &two_threads()];
        let rows = json(&[
            "--shape",
            "demo",
            "-p",
            "4",
            "-n",
            "0",
            "-r",
            "1",
            "-t",
            &threads.join(","),
            "--weight-dtype",
            "q4_0,f32",
            "--pure",
            "--kv-type",
            "f16,f32",
        ]);
        let got: Vec<_> =
            rows.iter().map(|r| format!("{} {} {}", r["type_w"], r["n_threads"], r["type_k"])).collect();
        let mut expected = Vec::new();
        for weights in ["q4_0", "f32"] {
            for threads in threads {
                expected.extend(["f16", "f32"].map(|kv| format!("\"{weights}\" {threads} \"{kv}\"")));
            }
        }
        assert_eq!(got, expected);
        assert_eq!(rows[0]["stddev_ts"], 0.0);
    }

    #[test]
    fn a_table_has_a_row_for_each_test() {
        let text = stdout(PROGRAM, &["--shape", "demo", "-p", "8,4", "-n", "4", "-d", "0,3", "-r", "2"]);
        let tests: Vec<&str> = text.lines().skip(2).map(|l| l.split('|').nth(7).unwrap().trim()).collect();
        assert_eq!(tests, ["pp8", "pp4", "tg4", "pp8 @ d3", "pp4 @ d3", "tg4 @ d3"]);
        assert!(text.lines().all(|l| l.starts_with('|') && l.ends_with('|')), "{text}");
    }

    #[test]
    fn a_directory_is_measured_on_the_reference_as_well() {
        let model = tiny().to_str().unwrap();
        let args = ["-m", model, "-p", "4", "-n", "2", "-r", "1", "-b", "reference", "-o", "csv"];
        let text = stdout(PROGRAM, &args);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.starts_with("\"build_commit\",") && text.contains("\"reference\""), "{text}");
    }

    #[test]
    fn what_cannot_be_measured_is_a_sentence() {
        let demo = |rest: &[&'static str]| [&["--shape", "demo"], rest].concat();
        refuses(PROGRAM, &["--shape", "llama-70b"], 2, &["llama-70b", "llama3.2-1b, llama3.2-3b, demo"]);
        refuses(PROGRAM, &demo(&["-r", "0"]), 2, &["--repetitions", "at least 1"]);
        refuses(PROGRAM, &demo(&["-t", "0"]), 2, &["--threads", "0 threads"]);
        refuses(PROGRAM, &demo(&["-t", "1,100000"]), 2, &["100000 threads are more than the"]);
        refuses(PROGRAM, &demo(&["-n", "-1"]), 2, &["'-1'", "--n-gen", "a whole number"]);
        refuses(PROGRAM, &demo(&["--device", "0"]), 1, &["--device", "--backend opencl"]);
        refuses(PROGRAM, &demo(&["--isa", "sse9"]), 2, &["sse9", "no such instruction set"]);
        refuses(PROGRAM, &demo(&["-b", "reference", "--isa", "scalar"]), 1, &["--isa"]);
        refuses(PROGRAM, &demo(&["-d", "500", "-p", "8"]), 1, &["tg128 @ d500", "628", "512"]);
        refuses(PROGRAM, &demo(&["-p", "0", "-n", "0"]), 1, &["nothing to measure"]);
        refuses(PROGRAM, &demo(&["-b", "reference", "-t", "1"]), 1, &["--threads"]);
        refuses(PROGRAM, &demo(&["-d", "18446744073709551615"]), 1, &["512"]);
        refuses(PROGRAM, &["-m", "/no/such/model"], 1, &["'/no/such/model' does not exist"]);
        let copy = Copy::new().bytes(|b| b.truncate(b.len() - 1000));
        refuses(PROGRAM, &["-m", copy.path().to_str().unwrap()], 1, &["model.safetensors", "ends after"]);
    }
}

mod micro {
    use super::*;

    const PROGRAM: &str = env!("CARGO_BIN_EXE_micro_bench");
    const SMALL: [&str; 8] = ["--shape", "demo", "--time", "0", "--rows", "1,3", "--depth", "9"];

    fn with<'a>(rest: &[&'a str]) -> Vec<&'a str> {
        [&SMALL, rest].concat()
    }

    #[test]
    fn json_names_every_case_and_its_rates_follow_from_its_time() {
        let threads = two_threads();
        let filter = ["--weight-dtype", "q4_0,f16", "--filter", "linear_o,attention"];
        let args = [&with(&["--json", "-t", &threads])[..], &filter].concat();
        let all: Value = serde_json::from_str(&stdout(PROGRAM, &args)).expect("JSON");
        let names: Vec<&str> =
            all["results"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "attention f16 d9 x1",
                "attention f16 d9 x3",
                "attention f32 d9 x1",
                "attention f32 d9 x3",
                "linear_o q4_0 x1",
                "linear_o q4_0 x3",
                "linear_o f16 x1",
                "linear_o f16 x3",
                "linear_output q4_0 x1",
                "linear_output f16 x1"
            ]
        );
        let limits = &all["limits"];
        assert_eq!(limits["threads"].to_string(), threads);
        for row in all["results"].as_array().unwrap() {
            let number = |key: &str| row[key].as_f64().unwrap();
            assert!(number("repetitions") >= 5.0 && number("min_ns") <= number("median_ns"));
            let read = number("bytes") / number("median_ns");
            assert!((number("gb_per_s") / read - 1.0).abs() < 1e-9, "{row}");
            let share = read / limits["read_gb_per_s"].as_f64().unwrap();
            assert!((number("share_of_read") / share - 1.0).abs() < 1e-9, "{row}");
            let arithmetic = number("operations") / number("median_ns");
            assert!((number("gop_per_s") / arithmetic - 1.0).abs() < 1e-9, "{row}");
        }
        // 128 x 128 weights: 18 bytes for 32 of them, a multiplication and an addition for each and row.
        assert_eq!(all["results"][5]["bytes"], 128 * 128 / 32 * 18);
        assert_eq!(all["results"][5]["operations"], 3 * 2 * 128 * 128);
    }

    #[test]
    fn a_table_has_a_row_for_each_case() {
        let text = stdout(PROGRAM, &with(&["--isa", "scalar", "--filter", "rms_norm,add"]));
        assert!(text.starts_with("cpu: scalar"), "{text}");
        let names: Vec<&str> = text
            .lines()
            .filter_map(|l| l.strip_prefix('|'))
            .skip(2)
            .map(|l| l.split('|').next().unwrap().trim())
            .collect();
        assert_eq!(names, ["rms_norm", "rms_norm", "add", "add"]);
    }

    #[test]
    fn what_cannot_be_measured_is_a_sentence() {
        refuses(PROGRAM, &["--isa", "mmx"], 2, &["mmx", "no such instruction set", "scalar"]);
        refuses(PROGRAM, &["--filter", "matmul"], 1, &["matmul", "linear_qkv"]);
        refuses(PROGRAM, &["--shape", "gpt"], 2, &["gpt", "llama3.2-1b"]);
        refuses(PROGRAM, &["--weight-dtype", "auto"], 2, &["auto", "q4_0"]);
        refuses(PROGRAM, &["--rows", "0"], 2, &["--rows", "from 1"]);
        refuses(PROGRAM, &["-t", "0"], 2, &["--threads"]);
        refuses(PROGRAM, &["-b", "reference", "--isa", "scalar"], 1, &["--isa"]);
    }
}
