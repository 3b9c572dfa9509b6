//! Python's two ways of putting values into a text: `'%s' % x` and `'{}'.format(x)`.

use super::access;
use super::fault::{Fault, Result};
use super::limits::Limits;
use super::namespaces::Namespaces;
use super::repr::{float, to_repr, to_text};
use super::value::Value;

/// How one value is written.
#[derive(Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    group: Option<char>,
    precision: Option<usize>,
    kind: char,
}

/// A larger precision than this gives zeros only.
const MOST_DIGITS: usize = 2000;

fn bad(what: impl Into<String>) -> Fault {
    Fault::failed(what)
}

fn digits(text: &mut &str) -> Result<Option<usize>> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    *text = rest;
    if number.is_empty() {
        return Ok(None);
    }
    number.parse().map(Some).map_err(|_| Fault::too_much(format!("a width of {number} characters")))
}

impl Spec {
    /// Reads what comes after the colon in `{:...}`.
    fn parse(mut text: &str) -> Result<Self> {
        let whole = text;
        let mut spec = Spec { kind: ' ', ..Spec::default() };
        let mut chars = text.chars();
        let (first, second) = (chars.next(), chars.next());
        let is_align = |c: Option<char>| c.is_some_and(|c| "<>^=".contains(c));
        if is_align(second) {
            (spec.fill, spec.align) = (first, second);
            text = chars.as_str();
        } else if is_align(first) {
            spec.align = first;
            text = &text[1..];
        }
        if let Some(sign) = text.chars().next().filter(|c| "+- ".contains(*c)) {
            spec.sign = Some(sign);
            text = &text[1..];
        }
        let mut flag = |sign: char| match text.strip_prefix(sign) {
            Some(rest) => {
                text = rest;
                true
            }
            None => false,
        };
        spec.alternate = flag('#');
        spec.zero = flag('0');
        spec.width = digits(&mut text)?.unwrap_or(0);
        if let Some(group) = text.chars().next().filter(|c| ",_".contains(*c)) {
            spec.group = Some(group);
            text = &text[1..];
        }
        if let Some(rest) = text.strip_prefix('.') {
            text = rest;
            let given = digits(&mut text)?.ok_or_else(|| bad("Format specifier missing precision"))?;
            spec.precision = Some(given);
        }
        let mut rest = text.chars();
        spec.kind = rest.next().unwrap_or(' ');
        match rest.next() {
            None => Ok(spec),
            Some(_) => Err(bad(format!("Invalid format specifier '{}'", super::parser::short(whole)))),
        }
    }

    /// Fills up `body`, which has `sign` before it, to the width.
    fn pad(&self, sign: &str, body: &str, align: char, limits: &Limits) -> Result<String> {
        let len = sign.chars().count() + body.chars().count();
        let missing = self.width.saturating_sub(len);
        let fill = self.fill.unwrap_or(if self.zero { '0' } else { ' ' });
        limits.pieces(missing, 4)?;
        limits.memory(body.len() + 8)?;
        let fill = |count: usize| String::from_iter(std::iter::repeat_n(fill, count));
        let align = self.align.unwrap_or(if self.zero && align == '>' { '=' } else { align });
        Ok(match align {
            '<' => format!("{sign}{body}{}", fill(missing)),
            '^' => format!("{}{sign}{body}{}", fill(missing / 2), fill(missing - missing / 2)),
            '=' => format!("{sign}{}{body}", fill(missing)),
            _ => format!("{}{sign}{body}", fill(missing)),
        })
    }

    fn sign(&self, negative: bool) -> &'static str {
        match (negative, self.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            _ => "",
        }
    }

    /// A number in this form; `None` where the value is none, or the form is not one of numbers.
    fn number(&self, value: &Value, limits: &Limits) -> Result<Option<String>> {
        let unknown = || {
            let kind = value.type_name();
            bad(format!("Unknown format code '{}' for object of type '{kind}'", self.kind))
        };
        match self.kind {
            'd' | 'i' | 'u' | 'b' | 'o' | 'x' | 'X' | 'c' | 'n' => {
                let Some(int) = value.as_int() else { return Err(unknown()) };
                if self.kind == 'c' {
                    let c = u32::try_from(int).ok().and_then(char::from_u32);
                    let c = c.ok_or_else(|| bad("%c arg not in range(0x110000)"))?;
                    return self.pad("", &c.to_string(), '<', limits).map(Some);
                }
                Ok(Some(self.integer(int, limits)?))
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%' => {
                let Some(real) = value.as_float() else { return Err(unknown()) };
                Ok(Some(self.real(real, self.kind, limits)?))
            }
            ' ' => match value {
                Value::Int(int) => Ok(Some(self.integer(*int, limits)?)),
                Value::Float(real) if self.precision.is_some() => Ok(Some(self.real(*real, 'g', limits)?)),
                Value::Float(real) => {
                    let body = float(real.abs());
                    let negative = real.is_sign_negative();
                    self.pad(self.sign(negative), &self.grouped(&body), '>', limits).map(Some)
                }
                _ => Ok(None),
            },
            's' | 'r' | 'a' => Ok(None),
            _ => Err(unknown()),
        }
    }

    fn integer(&self, int: i128, limits: &Limits) -> Result<String> {
        let size = int.unsigned_abs();
        let (prefix, body) = match self.kind {
            'b' => ("0b", format!("{size:b}")),
            'o' => ("0o", format!("{size:o}")),
            'x' => ("0x", format!("{size:x}")),
            'X' => ("0X", format!("{size:X}")),
            _ => ("", self.grouped(&size.to_string())),
        };
        let prefix = if self.alternate { prefix } else { "" };
        self.pad(&format!("{}{prefix}", self.sign(int < 0)), &body, '>', limits)
    }

    fn real(&self, real: f64, kind: char, limits: &Limits) -> Result<String> {
        let digits = self.precision.unwrap_or(6);
        if digits > MOST_DIGITS {
            return Err(Fault::too_much(format!("a precision of {digits} digits")));
        }
        let size = real.abs();
        let body = if !size.is_finite() {
            if size.is_nan() { "nan".into() } else { "inf".into() }
        } else {
            match kind.to_ascii_lowercase() {
                'e' => exponent(&format!("{size:.digits$e}")),
                'g' => general(size, digits.max(1), self.alternate),
                '%' => format!("{:.digits$}%", size * 100.0),
                _ => format!("{size:.digits$}"),
            }
        };
        let body = self.grouped(&body);
        let body = if kind.is_ascii_uppercase() { body.to_uppercase() } else { body };
        self.pad(self.sign(real.is_sign_negative() && !real.is_nan()), &body, '>', limits)
    }

    /// Digits with a sign between thousands.
    fn grouped(&self, body: &str) -> String {
        let Some(group) = self.group else { return body.to_owned() };
        let end = body.find(|c: char| !c.is_ascii_digit()).unwrap_or(body.len());
        let (digits, rest) = body.split_at(end);
        let mut out = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                out.push(group);
            }
            out.push(digit);
        }
        out + rest
    }

    fn string(&self, text: &str, limits: &Limits) -> Result<String> {
        let cut = match self.precision {
            Some(count) => text.char_indices().nth(count).map_or(text, |(end, _)| &text[..end]),
            None => text,
        };
        self.pad("", cut, '<', limits)
    }
}

/// `1e5` as Python writes it: `1e+05`.
fn exponent(text: &str) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

fn general(size: f64, digits: usize, alternate: bool) -> String {
    let scientific = format!("{size:.*e}", digits - 1);
    let power: i64 = scientific.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    let strip = |text: &str| match text.contains('.') && !alternate {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if power < -4 || power >= digits as i64 {
        let (mantissa, exp) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        return exponent(&format!("{}e{exp}", strip(mantissa)));
    }
    strip(&format!("{size:.*}", usize::try_from(digits as i64 - 1 - power).unwrap_or(0)))
}

/// `format % args`
pub fn percent(format: &str, args: &Value, spaces: &Namespaces, limits: &Limits) -> Result<String> {
    let mut out = String::new();
    let mut rest = format;
    let one = [args.clone()];
    let items: &[Value] = match args {
        Value::Tuple(seq) => &seq.items,
        _ => &one,
    };
    let mut next = 0;
    let mut take = || -> Result<Value> {
        next += 1;
        items.get(next - 1).cloned().ok_or_else(|| bad("not enough arguments for format string"))
    };
    let mut named = false;
    while let Some(at) = rest.find('%') {
        limits.memory(at)?;
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut spec = Spec::default();
        let mut value = None;
        if let Some(after) = rest.strip_prefix('(') {
            let end = after.find(')').ok_or_else(|| bad("incomplete format key"))?;
            let Value::Dict(dict) = args else { return Err(bad("format requires a mapping")) };
            let key = Value::fixed(&after[..end]);
            let found = super::compare::find(&dict.pairs, &key, limits)?;
            value = Some(found.cloned().ok_or_else(|| bad(format!("KeyError: '{}'", &after[..end])))?);
            named = true;
            rest = &after[end + 1..];
        }
        while let Some(flag) = rest.chars().next().filter(|c| "-+ #0".contains(*c)) {
            match flag {
                '-' => spec.align = Some('<'),
                '+' => spec.sign = Some('+'),
                ' ' if spec.sign.is_none() => spec.sign = Some(' '),
                '#' => spec.alternate = true,
                '0' => spec.zero = true,
                _ => {}
            }
            rest = &rest[1..];
        }
        let mut size = |rest: &mut &str| -> Result<Option<usize>> {
            if let Some(after) = rest.strip_prefix('*') {
                *rest = after;
                let given = take()?.as_int().ok_or_else(|| bad("* wants int"))?;
                return usize::try_from(given.max(0)).map(Some).map_err(|_| bad("width too big"));
            }
            digits(rest)
        };
        spec.width = size(&mut rest)?.unwrap_or(0);
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            spec.precision = Some(size(&mut rest)?.unwrap_or(0));
        }
        rest = rest.trim_start_matches(['h', 'l', 'L']);
        spec.kind = rest.chars().next().ok_or_else(|| bad("incomplete format"))?;
        rest = &rest[spec.kind.len_utf8()..];
        if spec.kind == '%' {
            out.push('%');
            continue;
        }
        let value = match value {
            Some(value) => value,
            None => take()?,
        };
        if spec.align == Some('<') {
            spec.zero = false;
        }
        let text = match (spec.kind, &value) {
            ('s' | 'r' | 'a', _) => {
                let text = match spec.kind {
                    's' => to_text(&value, spaces, limits)?,
                    _ => to_repr(&value, spaces, limits)?,
                };
                spec.zero = false;
                let align = spec.align.take();
                spec.align = Some(align.unwrap_or('>'));
                spec.string(&text, limits)?
            }
            ('c', Value::Str(s)) if s.text.chars().count() == 1 => s.text.to_string(),
            ('d' | 'i' | 'u', Value::Float(f)) => {
                spec.precision = None;
                spec.number(&Value::Int(f.trunc() as i128), limits)?.unwrap_or_default()
            }
            ('d' | 'i' | 'u' | 'x' | 'X' | 'o' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'c', value) => {
                let text = spec.number(value.defined()?, limits).map_err(|e| match e.kind {
                    super::fault::Kind::TooMuch => e,
                    _ => {
                        bad(format!("%{} format: a number is required, not {}", spec.kind, value.type_name()))
                    }
                })?;
                text.unwrap_or_default()
            }
            (other, _) => {
                return Err(bad(format!("unsupported format character '{}'", other.escape_default())));
            }
        };
        limits.memory(text.len())?;
        out.push_str(&text);
    }
    if next < items.len() && !named && !matches!(args, Value::Dict(_)) {
        return Err(bad("not all arguments converted during string formatting"));
    }
    limits.memory(rest.len())?;
    out.push_str(rest);
    Ok(out)
}

/// `format.format(*args, **named)`
pub fn braces(
    format: &str,
    args: &[Value],
    named: &[(Value, Value)],
    spaces: &Namespaces,
    limits: &Limits,
) -> Result<String> {
    Braces { args, named, spaces, limits }.fill(format, &mut Numbering::Open, 0)
}

/// How a format counts its fields: by itself or by their own numbers, but not both.
enum Numbering {
    Open,
    /// With the number of the next one.
    Automatic(usize),
    Manual,
}

struct Braces<'a> {
    args: &'a [Value],
    named: &'a [(Value, Value)],
    spaces: &'a Namespaces,
    limits: &'a Limits,
}

impl Braces<'_> {
    fn fill(&self, format: &str, next: &mut Numbering, depth: usize) -> Result<String> {
        if depth > 1 {
            return Err(bad("Max string recursion exceeded"));
        }
        let mut out = String::new();
        let mut rest = format;
        while let Some(at) = rest.find(['{', '}']) {
            self.limits.memory(at)?;
            out.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                out.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err(bad("Single '}' encountered in format string"));
            }
            let mut open = 1;
            let end = rest.find(|c| {
                open += match c {
                    '{' => 1,
                    '}' => -1,
                    _ => 0,
                };
                open == 0
            });
            let end = end.ok_or_else(|| bad("expected '}' before end of string"))?;
            let (field, after) = (&rest[..end], &rest[end + 1..]);
            rest = after;
            let (field, spec) = field.split_once(':').unwrap_or((field, ""));
            let (name, conversion) = match field.split_once('!') {
                Some((name, conversion)) => (name, Some(conversion)),
                None => (field, None),
            };
            let value = self.value(name, next)?;
            let spec = self.fill(spec, next, depth + 1)?;
            let text = match conversion {
                None => self.write(&value, &spec)?,
                Some("s") => {
                    self.write(&Value::text(to_text(&value, self.spaces, self.limits)?, self.limits)?, &spec)?
                }
                Some("r" | "a") => {
                    self.write(&Value::text(to_repr(&value, self.spaces, self.limits)?, self.limits)?, &spec)?
                }
                Some(other) => {
                    return Err(bad(format!(
                        "Unknown conversion specifier '{}'",
                        super::parser::short(other)
                    )));
                }
            };
            self.limits.memory(text.len())?;
            out.push_str(&text);
        }
        self.limits.memory(rest.len())?;
        out.push_str(rest);
        Ok(out)
    }

    fn write(&self, value: &Value, spec: &str) -> Result<String> {
        if spec.is_empty() {
            return to_text(value, self.spaces, self.limits);
        }
        let spec = Spec::parse(spec)?;
        match value {
            Value::Str(s) if matches!(spec.kind, ' ' | 's') => spec.string(&s.text, self.limits),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => match spec.number(value, self.limits)? {
                Some(text) => Ok(text),
                None => spec.string(&to_text(value, self.spaces, self.limits)?, self.limits),
            },
            other => {
                let kind = other.type_name();
                Err(bad(format!("unsupported format string passed to {kind}.__format__")))
            }
        }
    }

    fn value(&self, name: &str, next: &mut Numbering) -> Result<Value> {
        let end = name.find(['.', '[']).unwrap_or(name.len());
        let (first, mut rest) = name.split_at(end);
        let mut value = if first.is_empty() {
            let number = match next {
                Numbering::Open => 0,
                Numbering::Automatic(number) => *number,
                Numbering::Manual => {
                    return Err(bad("cannot switch from manual to automatic field numbering"));
                }
            };
            *next = Numbering::Automatic(number + 1);
            self.args.get(number)
        } else if let Ok(index) = first.parse::<usize>() {
            if let Numbering::Automatic(_) = next {
                return Err(bad("cannot switch from automatic to manual field numbering"));
            }
            *next = Numbering::Manual;
            self.args.get(index)
        } else {
            let found = super::compare::find(self.named, &Value::fixed(first), self.limits)?;
            Some(found.ok_or_else(|| bad(format!("KeyError: '{}'", super::parser::short(first))))?)
        }
        .cloned()
        .ok_or_else(|| bad("Replacement index out of range for positional args tuple"))?;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let end = after.find(']').ok_or_else(|| bad("Missing ']' in format string"))?;
                let key = match after[..end].parse::<i128>() {
                    Ok(index) => Value::Int(index),
                    Err(_) => Value::fixed(&after[..end]),
                };
                value = access::item(&value, &key, self.spaces, self.limits)?;
                rest = &after[end + 1..];
            } else {
                let after = rest.strip_prefix('.').ok_or_else(|| bad("Only '.' or '[' may follow ']'"))?;
                let end = after.find(['.', '[']).unwrap_or(after.len());
                value = access::attribute(&value, &after[..end], self.spaces, self.limits)?;
                rest = &after[end..];
            }
            value.defined()?;
        }
        Ok(value)
    }
}
