//! A size that is asked for.

use std::str::FromStr;

/// How large a file may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Size {
    /// Bytes of the whole file.
    Bytes(u64),
    /// Bits that a weight takes on an average.
    Bits(f64),
}

impl Size {
    /// Bytes that the tensors may take: of a file with `other` bytes beside them, of `elements` weights.
    pub fn for_tensors(self, other: u64, elements: u64) -> u64 {
        match self {
            Size::Bytes(bytes) => bytes.saturating_sub(other),
            Size::Bits(bits) => (bits * elements as f64 / 8.0) as u64,
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = &text[number.len()..];
        let wrong = || format!("'{text}' is no size: give one like 700MB, 1.5GB, 650MiB or 4.5bpw");
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        if !(number > 0.0 && number < 1e15) {
            return Err(wrong());
        }
        let factor = match unit.to_ascii_lowercase().as_str() {
            "bpw" => return Ok(Size::Bits(number)),
            "b" => 1.0,
            "kb" | "k" => 1e3,
            "mb" | "m" => 1e6,
            "gb" | "g" => 1e9,
            "kib" => 1024.0,
            "mib" => 1024.0 * 1024.0,
            "gib" => 1024.0 * 1024.0 * 1024.0,
            _ => return Err(wrong()),
        };
        Ok(Size::Bytes((number * factor) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_refused() {
        assert_eq!("700MB".parse(), Ok(Size::Bytes(700_000_000)));
        assert_eq!("1.5 GiB".parse(), Ok(Size::Bytes(3 << 29)));
        assert_eq!("4.5bpw".parse(), Ok(Size::Bits(4.5)));
        for bad in ["", "MB", "700", "-1MB", "nanMB", "4 bits", "0bpw", "1e99GB"] {
            assert!(bad.parse::<Size>().unwrap_err().contains("4.5bpw"), "{bad}");
        }
        assert_eq!(Size::Bytes(1000).for_tensors(100, 5), 900);
        assert_eq!(Size::Bits(4.0).for_tensors(100, 50), 25);
    }
}
