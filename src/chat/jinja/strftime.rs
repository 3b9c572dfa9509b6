//! Dates, and how templates write them: Python's `strftime` in the C locale.

use super::fault::Result;
use super::limits::Limits;
use crate::host::local_date;

/// A day of the Gregorian calendar. Templates see its midnight: a text is to be the same all day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u16, month: u8) -> u8 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Date {
    /// The day that it is where this machine is.
    pub fn today() -> Self {
        let (year, month, day) = local_date();
        Self::new(year, month, day).unwrap_or(Self { year: 1970, month: 1, day: 1 })
    }

    /// A day, if there is one such.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let is_day = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day);
        is_day.then_some(Self { year, month, day })
    }

    /// Days of the year before this one.
    fn day_of_year(self) -> u32 {
        (1..self.month).map(|m| u32::from(days_in(self.year, m))).sum::<u32>() + u32::from(self.day) - 1
    }

    /// Days since Sunday.
    fn weekday(self) -> u32 {
        let years = u32::from(self.year) - 1;
        (years + years / 4 - years / 100 + years / 400 + self.day_of_year() + 1) % 7
    }

    /// The year and week by ISO 8601.
    fn iso_week(self) -> (u16, u32) {
        let monday_based = (self.weekday() + 6) % 7;
        let week = (self.day_of_year() + 10 - monday_based) / 7;
        let long = |year: u16| {
            let first = Self { year, month: 1, day: 1 }.weekday();
            first == 4 || first == 3 && is_leap(year)
        };
        match week {
            0 => (self.year - 1, if long(self.year - 1) { 53 } else { 52 }),
            53 if !long(self.year) => (self.year + 1, 1),
            week => (self.year, week),
        }
    }

    /// As `datetime.strftime` writes it.
    pub(super) fn format(self, format: &str, limits: &Limits) -> Result<String> {
        limits.pieces(format.len(), 16)?;
        let mut out = String::new();
        let mut chars = format.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            // glibc's flags: no padding, zeros, spaces, upper case.
            let flag = chars.next_if(|c| matches!(c, '-' | '_' | '0' | '^' | '#'));
            let Some(directive) = chars.next() else {
                out.push('%');
                break;
            };
            match self.directive(directive, flag) {
                Some(text) => out.push_str(&text),
                None => {
                    out.push('%');
                    out.extend(flag);
                    out.push(directive);
                }
            }
        }
        Ok(out)
    }

    fn directive(self, directive: char, flag: Option<char>) -> Option<String> {
        let number = |value: u32, width: usize, fill: char| match flag {
            Some('-') => value.to_string(),
            Some('_') => format!("{value:width$}"),
            Some('0') => format!("{value:0width$}"),
            _ if fill == ' ' => format!("{value:width$}"),
            _ => format!("{value:0width$}"),
        };
        let word = |text: &str| if flag == Some('^') { text.to_uppercase() } else { text.to_owned() };
        let (year, month, day) = (u32::from(self.year), u32::from(self.month), u32::from(self.day));
        let weekday = self.weekday();
        let day_name = DAYS[weekday as usize];
        let month_name = MONTHS[usize::from(self.month) - 1];
        let all = |format: &str| {
            let mut out = String::new();
            let mut chars = format.chars();
            while let Some(c) = chars.next() {
                match c {
                    '%' => {
                        out.push_str(&chars.next().and_then(|d| self.directive(d, None)).unwrap_or_default())
                    }
                    c => out.push(c),
                }
            }
            out
        };
        Some(match directive {
            '%' => "%".into(),
            'n' => "\n".into(),
            't' => "\t".into(),
            'a' => word(&day_name[..3]),
            'A' => word(day_name),
            'b' | 'h' => word(&month_name[..3]),
            'B' => word(month_name),
            'd' => number(day, 2, '0'),
            'e' => number(day, 2, ' '),
            'm' => number(month, 2, '0'),
            'y' => number(year % 100, 2, '0'),
            'Y' => number(year, 1, '0'),
            'C' => number(year / 100, 2, '0'),
            'G' => number(self.iso_week().0.into(), 1, '0'),
            'g' => number(u32::from(self.iso_week().0) % 100, 2, '0'),
            'V' => number(self.iso_week().1, 2, '0'),
            'j' => number(self.day_of_year() + 1, 3, '0'),
            'w' => weekday.to_string(),
            'u' => (if weekday == 0 { 7 } else { weekday }).to_string(),
            'U' => number((self.day_of_year() + 7 - weekday) / 7, 2, '0'),
            'W' => number((self.day_of_year() + 7 - (weekday + 6) % 7) / 7, 2, '0'),
            'H' | 'M' | 'S' => number(0, 2, '0'),
            'k' => number(0, 2, ' '),
            'I' => number(12, 2, '0'),
            'l' => number(12, 2, ' '),
            'f' => "000000".into(),
            'p' => "AM".into(),
            'P' => "am".into(),
            'z' | 'Z' => String::new(),
            'c' => all("%a %b %e %H:%M:%S %Y"),
            'x' | 'D' => all("%m/%d/%y"),
            'X' | 'T' => all("%H:%M:%S"),
            'R' => all("%H:%M"),
            'r' => all("%I:%M:%S %p"),
            'F' => all("%Y-%m-%d"),
            _ => return None,
        })
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl std::str::FromStr for Date {
    type Err = ();

    /// `YYYY-MM-DD`
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('-');
        let mut part = |digits: usize| {
            let part = parts.next().filter(|p| p.len() == digits && p.bytes().all(|b| b.is_ascii_digit()));
            part.and_then(|p| p.parse::<u16>().ok())
        };
        let (year, month, day) = (part(4), part(2), part(2));
        match (year, month, day, parts.next()) {
            (Some(year), Some(month), Some(day), None) => Self::new(year, month as u8, day as u8).ok_or(()),
            _ => Err(()),
        }
    }
}
