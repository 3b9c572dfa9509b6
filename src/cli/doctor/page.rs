//! The findings as a page of text.

use std::fmt::Write;

use super::facts::{Facts, OpenCl, Speed, Verdict};
use crate::host::human_bytes;

/// Lines of a page, in sections.
struct Page(String);

impl Page {
    fn section(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0 += title;
        self.0.push('\n');
    }

    fn line(&mut self, key: &str, value: &str) {
        let _ = writeln!(self.0, "  {key:<12}  {value}");
    }

    fn maybe(&mut self, key: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.line(key, value);
        }
    }
}

/// All of it.
pub fn page(facts: &Facts) -> String {
    let mut page = Page(String::new());
    let p = &facts.program;
    page.section(&format!("llm_rs2 {} ({}), {}, {}", p.version, p.commit, p.target, p.time));
    let m = &facts.machine;
    page.maybe("device", m.device.as_ref());
    page.maybe("chip", m.soc.as_ref());
    page.maybe("processor", m.cpu.as_ref());
    page.maybe("system", m.system.as_ref());
    page.maybe("kernel", m.kernel.as_ref());
    memory(&mut page, facts);
    cores(&mut page, facts);
    opencl(&mut page, &facts.opencl);
    page.section("thermal zones");
    for zone in &facts.thermal_zones {
        let degrees = zone.celsius.map_or_else(|| "not reported".to_owned(), |c| format!("{c:.1} degrees"));
        page.line(&zone.name, &degrees);
    }
    if facts.thermal_zones.is_empty() {
        page.line("none", "of the processor can be read: --throttle-to will not work");
    }
    let c = &facts.calibration;
    page.section(&format!("speed, shape of {}, {} weights", c.shape, c.weight_format));
    let speed = |s: &Speed| {
        format!("decode {:.1} tok/s, prefill {:.1} tok/s", s.decode_tokens_per_s, s.prefill_tokens_per_s)
    };
    page.line("cpu", &speed(&c.cpu));
    page.maybe("opencl", c.opencl.as_ref().map(speed).as_ref());
    page.line("", &format!("({})", c.method));
    let a = &facts.advice;
    page.section("what to choose for such a model");
    page.line("backend", &format!("{}, since {}", a.backend, a.why));
    page.line("threads", &a.threads.to_string());
    page.line("weights", a.weight_format);
    let context = match a.max_context {
        Some(n) => format!("up to {n} tokens fit in memory next to the weights"),
        None => "no useful one fits in memory next to the weights".to_owned(),
    };
    page.line("context", &context);
    page.line("flags", &a.flags);
    page.0
}

fn memory(page: &mut Page, facts: &Facts) {
    let m = &facts.memory;
    let amount = |bytes: Option<u64>| bytes.map_or_else(|| "an unknown amount".to_owned(), human_bytes);
    page.section("memory");
    page.line("available", &format!("{} of {}", amount(m.available_bytes), amount(m.total_bytes)));
    if let (Some(limit), Some(left)) = (m.limit_bytes, m.limit_left_bytes) {
        page.line(
            "limit",
            &format!("{} for this control group, {} left", human_bytes(limit), human_bytes(left)),
        );
    }
    if let Some(bytes) = m.page_bytes {
        page.line("pages", &format!("{} KiB", bytes / 1024));
    }
}

fn cores(page: &mut Page, facts: &Facts) {
    page.section("cores");
    for c in &facts.cores.clusters {
        let parts = [
            c.core.map(str::to_owned),
            c.max_mhz.map(|mhz| format!("up to {mhz} MHz")),
            c.capacity.map(|n| format!("capacity {n}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        page.line(
            &format!("CPU {}", c.cpus),
            &if parts.is_empty() { "not reported".to_owned() } else { parts.join(", ") },
        );
    }
    let c = &facts.cores;
    page.line("usable", &format!("CPU {}, up to {} threads", c.allowed, c.most_threads));
    page.line("fast", &format!("CPU {}, {} threads by default", c.fast, c.default_threads));
    let i = &facts.instructions;
    page.line("features", &i.features.join(" "));
    page.line("kernels", &format!("{}; chosen: {}", i.sets.join(", "), i.chosen.unwrap_or("none")));
    for tested in &facts.cpu_self_test {
        let verdict = match tested.failed.as_slice() {
            [] => format!("{} cases like the reference", tested.cases),
            [first, ..] => {
                format!("{} of {} cases WRONG, the first: {first}", tested.failed.len(), tested.cases)
            }
        };
        page.line(&format!("test {}", tested.set), &verdict);
    }
}

fn opencl(page: &mut Page, found: &OpenCl) {
    page.section("OpenCL");
    page.maybe("library", found.library.as_ref());
    page.maybe("fault", found.fault.as_ref());
    for (number, d) in found.devices.iter().enumerate() {
        page.line(&format!("device {number}"), &format!("{} ({})", d.name, d.kind));
        page.line("", &format!("{}; driver {}; {}", d.version, d.driver, d.platform));
        let shared = if d.unified_memory { "shared with the CPU" } else { "its own" };
        page.line(
            "",
            &format!(
                "{} compute units, {} of memory ({shared}), buffers up to {}",
                d.compute_units,
                human_bytes(d.memory_bytes),
                human_bytes(d.max_buffer_bytes)
            ),
        );
        page.line("", &d.extensions.join(" "));
        let verdict = match &d.self_test {
            Verdict { passed: true, detail: None } => "passed".to_owned(),
            Verdict { passed: true, detail: Some(detail) } => format!("passed, but {detail}"),
            Verdict { passed: false, detail } => {
                format!("FAILED: {}", detail.as_deref().unwrap_or("no reason given"))
            }
        };
        page.line("self-test", &verdict);
    }
}
