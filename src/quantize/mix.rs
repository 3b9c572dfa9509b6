//! The usual mixes of types, by the names that llama.cpp gives them.

use std::fmt;
use std::str::FromStr;

use crate::core::DType;

/// A mix: the type that most matrices get, and rules for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix(&'static Row);

#[derive(Debug, PartialEq, Eq)]
struct Row {
    name: &'static str,
    /// Another name, or empty.
    alias: &'static str,
    /// `llama_ftype`, which the file records.
    file_type: u32,
    main: DType,
}

const fn row(name: &'static str, alias: &'static str, file_type: u32, main: DType) -> Row {
    Row { name, alias, file_type, main }
}

/// From large to small.
static ROWS: [Row; 22] = [
    row("F32", "", 0, DType::F32),
    row("F16", "", 1, DType::F16),
    row("BF16", "", 32, DType::BF16),
    row("Q8_0", "", 7, DType::Q8_0),
    row("Q6_K", "", 18, DType::Q6K),
    row("Q5_1", "", 9, DType::Q5_1),
    row("Q5_K_M", "Q5_K", 17, DType::Q5K),
    row("Q5_K_S", "", 16, DType::Q5K),
    row("Q5_0", "", 8, DType::Q5_0),
    row("Q4_1", "", 3, DType::Q4_1),
    row("Q4_K_M", "Q4_K", 15, DType::Q4K),
    row("Q4_K_S", "", 14, DType::Q4K),
    row("Q4_0", "", 2, DType::Q4_0),
    row("IQ4_NL", "", 25, DType::Iq4Nl),
    row("IQ4_XS", "", 30, DType::Iq4Xs),
    row("MXFP4_MOE", "MXFP4", 38, DType::Mxfp4),
    row("Q3_K_L", "", 13, DType::Q3K),
    row("Q3_K_M", "Q3_K", 12, DType::Q3K),
    row("Q3_K_S", "", 11, DType::Q3K),
    row("Q2_K", "", 10, DType::Q2K),
    row("Q2_K_S", "", 21, DType::Q2K),
    row("TQ2_0", "", 37, DType::Tq2_0),
];

static TERNARY: Row = row("TQ1_0", "", 36, DType::Tq1_0);

impl Mix {
    /// All of them, from large to small.
    pub fn all() -> impl Iterator<Item = Mix> {
        ROWS.iter().chain([&TERNARY]).map(Mix)
    }

    /// The mix whose main type it is; F32's for none.
    pub fn of_type(dtype: Option<DType>) -> Self {
        let named = |mix: &Mix| Some(mix.0.main) == dtype;
        Mix::all().find(named).unwrap_or(Mix(&ROWS[0]))
    }

    /// The usual name.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Another name that it goes by.
    pub fn alias(self) -> Option<&'static str> {
        (!self.0.alias.is_empty()).then_some(self.0.alias)
    }

    /// What a file records as `general.file_type`.
    pub fn file_type(self) -> u32 {
        self.0.file_type
    }

    /// The type of most matrices.
    pub fn main(self) -> DType {
        self.0.main
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let named = |mix: &Mix| {
            [mix.0.name, mix.0.alias].iter().any(|name| !name.is_empty() && name.eq_ignore_ascii_case(s))
        };
        Mix::all().find(named).ok_or_else(|| {
            let names: Vec<_> = Mix::all().map(Mix::name).collect();
            format!("'{s}' is none of the types that can be written: {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_unknown_ones_refused() {
        for mix in Mix::all() {
            assert_eq!(mix.name().to_lowercase().parse(), Ok(mix));
            assert!(mix.alias().is_none_or(|alias| alias.parse() == Ok(mix)));
        }
        assert_eq!("q4_k".parse::<Mix>().unwrap().file_type(), 15);
        for bad in ["", "IQ2_XXS", "Q4"] {
            assert!(bad.parse::<Mix>().unwrap_err().contains("Q4_K_M"), "{bad}");
        }
    }
}
