//! `+`, `*` and the other operators on two values.

use super::ast::Op;
use super::fault::{Fault, Result};
use super::format::percent;
use super::limits::Limits;
use super::namespaces::Namespaces;
use super::repr::to_text;
use super::value::{Text, Value};

fn sign(op: Op) -> &'static str {
    match op {
        Op::Add => "+",
        Op::Sub => "-",
        Op::Mul => "*",
        Op::Div => "/",
        Op::FloorDiv => "//",
        Op::Rem => "%",
        Op::Pow => "** or pow()",
    }
}

/// `a op b`
pub fn binary(op: Op, a: &Value, b: &Value, spaces: &Namespaces, limits: &Limits) -> Result<Value> {
    let (a, b) = (a.defined()?, b.defined()?);
    match (op, a, b) {
        (Op::Add, Value::Str(x), Value::Str(y)) => {
            let safe = x.safe || y.safe;
            limits.pieces(x.text.len() + y.text.len(), if safe { ESCAPED } else { 1 })?;
            let part = |text: &Text| match safe && !text.safe {
                true => escape(&text.text),
                false => text.text.to_string(),
            };
            return Ok(Value::Str(Text { text: (part(x) + &part(y)).into(), safe }));
        }
        (Op::Add, Value::List(x), Value::List(y)) => {
            limits.pieces(x.items.len() + y.items.len(), size_of::<Value>())?;
            return Value::list([x.items.as_slice(), &y.items].concat(), limits);
        }
        (Op::Add, Value::Tuple(x), Value::Tuple(y)) => {
            limits.pieces(x.items.len() + y.items.len(), size_of::<Value>())?;
            return Value::tuple([x.items.as_slice(), &y.items].concat(), limits);
        }
        (Op::Rem, Value::Str(format), args) => {
            let text = percent(&format.text, args, spaces, limits)?;
            return Ok(Value::Str(Text { text: text.into(), safe: format.safe }));
        }
        (Op::Mul, x, y) => {
            if let Some(repeated) = repeat(x, y, limits)? {
                return Ok(repeated);
            }
        }
        _ => {}
    }
    if let (Some(x), Some(y)) = (a.as_int(), b.as_int()) {
        return whole(op, x, y);
    }
    match (a.as_float(), b.as_float()) {
        (Some(x), Some(y)) => real(op, x, y),
        _ => {
            let (x, y) = (a.type_name(), b.type_name());
            Err(Fault::failed(match (op, a) {
                (Op::Add, Value::Str(_)) => format!("can only concatenate str (not \"{y}\") to str"),
                (Op::Add, Value::List(_)) => format!("can only concatenate list (not \"{y}\") to list"),
                _ => format!("unsupported operand type(s) for {}: '{x}' and '{y}'", sign(op)),
            }))
        }
    }
}

/// A string or list, several times.
fn repeat(a: &Value, b: &Value, limits: &Limits) -> Result<Option<Value>> {
    let (value, times) = match (a.as_int(), b.as_int()) {
        (None, Some(times)) => (a, times),
        (Some(times), None) => (b, times),
        _ => return Ok(None),
    };
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    Ok(Some(match value {
        Value::Str(s) => {
            limits.pieces(s.text.len(), times)?;
            Value::Str(Text {
                text: s.text.repeat(if s.text.is_empty() { 0 } else { times }).into(),
                safe: s.safe,
            })
        }
        Value::List(seq) | Value::Tuple(seq) => {
            limits.pieces(seq.items.len().saturating_mul(size_of::<Value>()), times)?;
            let count = seq.items.len().saturating_mul(times);
            let items = seq.items.iter().cycle().take(count).cloned().collect();
            match value {
                Value::List(_) => Value::list(items, limits)?,
                _ => Value::tuple(items, limits)?,
            }
        }
        _ => return Ok(None),
    }))
}

fn whole(op: Op, a: i128, b: i128) -> Result<Value> {
    let too_large = || Fault::too_much("a number becomes too large");
    let nonzero = |what: &str| if b == 0 { Err(Fault::failed(what)) } else { Ok(()) };
    let result = match op {
        Op::Add => a.checked_add(b),
        Op::Sub => a.checked_sub(b),
        Op::Mul => a.checked_mul(b),
        Op::Div => {
            nonzero("division by zero")?;
            return Ok(Value::Float(a as f64 / b as f64));
        }
        Op::FloorDiv => {
            nonzero("integer division or modulo by zero")?;
            a.checked_div_euclid(b).map(|q| if b < 0 && a.rem_euclid(b) != 0 { q - 1 } else { q })
        }
        Op::Rem => {
            nonzero("integer modulo by zero")?;
            a.checked_rem(b).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r })
        }
        Op::Pow if b < 0 => return real(op, a as f64, b as f64),
        Op::Pow => a.checked_pow(u32::try_from(b).map_err(|_| too_large())?),
    };
    result.map(Value::Int).ok_or_else(too_large)
}

fn real(op: Op, a: f64, b: f64) -> Result<Value> {
    if b == 0.0 && matches!(op, Op::Div | Op::FloorDiv | Op::Rem) {
        return Err(Fault::failed("float division by zero"));
    }
    Ok(Value::Float(match op {
        Op::Add => a + b,
        Op::Sub => a - b,
        Op::Mul => a * b,
        Op::Div => a / b,
        Op::FloorDiv => (a / b).floor(),
        Op::Rem => a - b * (a / b).floor(),
        Op::Pow => a.powf(b),
    }))
}

/// `-a`, or `+a`
pub fn signed(value: &Value, negative: bool) -> Result<Value> {
    match value.defined()? {
        Value::Float(f) => Ok(Value::Float(if negative { -f } else { *f })),
        other => match other.as_int() {
            Some(i) => {
                let signed = if negative { i.checked_neg() } else { Some(i) };
                signed.map(Value::Int).ok_or_else(|| Fault::too_much("a number becomes too large"))
            }
            None => Err(Fault::failed(format!(
                "bad operand type for unary {}: '{}'",
                if negative { '-' } else { '+' },
                other.type_name()
            ))),
        },
    }
}

/// `a ~ b`
pub fn concat(values: &[Value], spaces: &Namespaces, limits: &Limits) -> Result<Value> {
    let mut text = String::new();
    for value in values {
        text.push_str(&to_text(value, spaces, limits)?);
    }
    Value::text(text, limits)
}

/// How much longer [`escape`] makes a text, at most.
pub const ESCAPED: usize = 5;

/// As MarkupSafe escapes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '>' => out.push_str("&gt;"),
            '<' => out.push_str("&lt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    out
}
