//! Models in several files: `NAME-00001-of-00003.safetensors`, or the same with `.gguf`.

use std::path::Path;

use super::shown;

/// What the name of a part says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// The name before the number.
    stem: &'a str,
    /// Which part it is, from 1 on.
    pub number: usize,
    /// The number of all parts, as it is written.
    of: &'a str,
    /// `.safetensors` or `.gguf`.
    end: &'static str,
}

impl<'a> Part<'a> {
    /// `None` for a name that is not that of a part.
    pub fn of_name(name: &'a str) -> Option<Self> {
        let end = [".safetensors", ".gguf"].into_iter().find(|end| name.ends_with(end))?;
        let (rest, of) = name.strip_suffix(end)?.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let digits = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
        (digits(number) && digits(of)).then_some(())?;
        Some(Self { stem, number: number.parse().ok()?, of, end })
    }

    /// How many parts there are.
    pub fn count(&self) -> usize {
        self.of.parse().unwrap_or(0)
    }

    /// The name of another part of the same model.
    pub fn sibling(&self, number: usize) -> String {
        let Self { stem, of, end, .. } = self;
        format!("{stem}-{number:05}-of-{of}{end}")
    }

    fn is_with(&self, other: &Self) -> bool {
        (self.stem, self.of, self.end) == (other.stem, other.of, other.end)
    }
}

/// The parts of a model that are there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    first: Part<'a>,
    /// Number and name, in ascending order.
    found: Vec<(usize, &'a str)>,
}

impl<'a> Parts<'a> {
    /// Every model in parts of this kind of file (`.safetensors`, `.gguf`) among these names, which are sorted.
    pub fn among(names: &'a [String], end: &str) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for name in names {
            let Some(part) = Part::of_name(name).filter(|part| part.end == end) else { continue };
            match all.last_mut().filter(|last| last.first.is_with(&part)) {
                Some(last) => last.found.push((part.number, name)),
                None => all.push(Self { first: part, found: vec![(part.number, name)] }),
            }
        }
        all
    }

    /// The names of all parts, if each is there.
    pub fn whole(&self) -> Option<Vec<&'a str>> {
        let numbers = self.found.iter().map(|(number, _)| *number);
        numbers.eq(1..=self.first.count()).then(|| self.found.iter().map(|(_, name)| *name).collect())
    }

    /// Whether there are no other names than those of these parts among `names`.
    pub fn are_all(&self, names: &[&String]) -> bool {
        self.found.len() == names.len()
    }

    /// A sentence about the parts that are not there.
    pub fn missing(&self) -> Option<String> {
        let count = self.first.count();
        let lacks = (1..=count).find(|n| !self.found.iter().any(|(number, _)| number == n))?;
        let index = if self.first.end == ".gguf" { "" } else { ", and model.safetensors.index.json" };
        Some(format!(
            "it holds {} of the {count} parts of a model: download the others, such as '{}'{index}",
            self.found.len(),
            shown(&self.first.sibling(lacks)),
        ))
    }
}

/// Whether a file of this name is one of several parts of a checkpoint.
pub(super) fn is_shard(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Part::of_name(&name).is_some_and(|part| part.of != "00001" && part.end == ".safetensors")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_parts_there_are() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let all = names(&[
            "a-00001-of-00002.gguf",
            "a-00001-of-00002.safetensors",
            "a-00002-of-00002.safetensors",
            "b-00001-of-00003.safetensors",
            "b-00003-of-00003.safetensors",
            "config.json",
        ]);
        let found = Parts::among(&all, ".safetensors");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].whole().unwrap(), [&all[1], &all[2]]);
        assert_eq!(found[0].missing(), None);
        assert_eq!(found[1].whole(), None);
        assert_eq!(
            found[1].missing().unwrap(),
            "it holds 2 of the 3 parts of a model: download the others, such as 'b-00002-of-00003.safetensors', and \
             model.safetensors.index.json"
        );
        let gguf = Parts::among(&all, ".gguf");
        assert_eq!(
            gguf[0].missing().unwrap(),
            "it holds 1 of the 2 parts of a model: download the others, such as 'a-00002-of-00002.gguf'"
        );
        let odd = names(&["a-1-of-2.gguf", "a-00001-of-0002.safetensors", "00001-of-00002.gguf", "a.gguf"]);
        assert!(Parts::among(&odd, ".gguf").is_empty() && Parts::among(&odd, ".safetensors").is_empty());
        assert!(is_shard(Path::new("d/m-00001-of-00009.safetensors")));
        assert!(!is_shard(Path::new("d/m-00001-of-00001.safetensors")));
        assert!(!is_shard(Path::new("d/m-00001-of-00009.gguf")));
    }
}
