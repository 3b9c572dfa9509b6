//! Which kernels are used, where there is a choice.

/// The forms in use; without any, the plain ones, which need nothing of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forms {
    /// A work-group a row of a norm.
    pub norm: bool,
    /// linear_row.cl.
    pub row: bool,
    /// linear_tile.cl.
    pub tile: bool,
    /// Of attention.cl.
    pub attention_split: bool,
    /// Of attention.cl.
    pub attention_tile: bool,
    /// Keys and values in block formats.
    pub kv_blocks: bool,
    /// Sub-groups for the sums of norms and attention.
    pub subgroups: bool,
    /// linear_sub.cl in the place of linear_row.cl.
    pub linear_sub: bool,
    /// linear_dot.cl and linear_dot_tile.cl for the block formats, whose inputs are rounded to int8.
    pub dot: bool,
    /// linear_row.cl through images, for weights that the device takes as such, in the place of the same or linear_sub.cl.
    pub image: bool,
    /// linear_dot.cl with products in fp16, for the block formats and where [`Self::dot`] is not.
    pub half: bool,
    /// Work-items that share the blocks of a row in linear_row.cl or linear_sub.cl, a power of two.
    pub slices: usize,
    /// The same in linear_dot.cl.
    pub dot_slices: usize,
}

/// Forms by name, for tests and comparisons: they are used as they are, and no self-test chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Only the kernels that need nothing of a device.
    Plain,
    /// All that any device should run.
    Fast,
    /// The same with sub-groups, for devices that have them.
    SubGroups,
    /// The same as [`Self::Fast`] with integer dot products, which devices without them compute in several steps.
    IntegerDot,
    /// The same as [`Self::Fast`] with weights read through images, for devices that have them.
    Images,
    /// The same as [`Self::Fast`] with products in fp16, which devices without it compute in f32.
    Half,
}

/// What [`Forms::kv_blocks`] is called.
pub(super) const KV_BLOCKS: &str = "keys and values in blocks";

type Flag = fn(&mut Forms) -> &mut bool;

impl Forms {
    /// What is only ever switched on or off, by the names that people see.
    pub const FLAGS: [(&'static str, Flag); 11] = [
        ("rms_norm", |f| &mut f.norm),
        ("linear_row", |f| &mut f.row),
        ("linear_tile", |f| &mut f.tile),
        ("attention_split", |f| &mut f.attention_split),
        ("attention_tile", |f| &mut f.attention_tile),
        (KV_BLOCKS, |f| &mut f.kv_blocks),
        ("sub-groups", |f| &mut f.subgroups),
        ("linear_sub", |f| &mut f.linear_sub),
        ("linear_dot", |f| &mut f.dot),
        ("linear_image", |f| &mut f.image),
        ("linear_half", |f| &mut f.half),
    ];

    /// The plain forms, or all that any device should run, with so many slices.
    pub const fn all(on: bool, slices: usize) -> Self {
        Self {
            norm: on,
            row: on,
            tile: on,
            attention_split: on,
            attention_tile: on,
            kv_blocks: on,
            subgroups: false,
            linear_sub: false,
            dot: false,
            image: false,
            half: false,
            slices,
            dot_slices: slices,
        }
    }

    /// Those of a preset on a device whose work-groups have `slices` at most.
    pub const fn of(preset: Preset, slices: usize) -> Self {
        let fast = Self::all(true, slices);
        match preset {
            Preset::Plain => Self { kv_blocks: true, ..Self::all(false, slices) },
            Preset::Fast => fast,
            Preset::SubGroups => {
                Self { subgroups: true, linear_sub: true, slices: sub_slices(slices), ..fast }
            }
            Preset::IntegerDot => Self { dot: true, ..fast },
            Preset::Images => Self { image: true, ..fast },
            Preset::Half => Self { half: true, ..fast },
        }
    }

    /// What is used of a device that not every one has, for people.
    pub fn extras(&self) -> String {
        let extras = [
            (self.subgroups || self.linear_sub, "sub-groups"),
            (self.image, "images"),
            (self.dot, "integer dot products"),
            (self.half, "fp16 products"),
        ];
        extras.iter().filter(|(used, _)| *used).map(|(_, name)| format!(", {name}")).collect()
    }

    /// For the cache: a digit a flag, then the two numbers.
    pub fn to_text(mut self) -> String {
        let bits = Self::FLAGS.map(|(_, flag)| if *flag(&mut self) { '1' } else { '0' });
        format!("{} {} {}", String::from_iter(bits), self.slices, self.dot_slices)
    }

    /// The inverse of [`Self::to_text`].
    pub fn from_text(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let bits: Vec<bool> = words.next()?.chars().map(|c| c == '1').collect();
        let mut number = || words.next()?.parse::<usize>().ok().filter(|n| n.is_power_of_two());
        let mut forms = Self { slices: number()?, dot_slices: number()?, ..Self::all(false, 1) };
        let bits: [bool; Self::FLAGS.len()] = bits.try_into().ok()?;
        for ((_, flag), bit) in Self::FLAGS.iter().zip(bits) {
            *flag(&mut forms) = bit;
        }
        words.next().is_none().then_some(forms)
    }
}

/// Slices of linear_sub.cl, which has four times as many work-items side by side as linear_row.cl.
pub(super) const fn sub_slices(slices: usize) -> usize {
    if slices > 4 { slices / 4 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_read_back() {
        for preset in
            [Preset::Plain, Preset::Fast, Preset::SubGroups, Preset::IntegerDot, Preset::Images, Preset::Half]
        {
            let forms = Forms { dot_slices: 2, ..Forms::of(preset, 16) };
            assert_eq!(Forms::from_text(&forms.to_text()), Some(forms));
        }
        assert_eq!(Forms::of(Preset::SubGroups, 16).slices, 4);
        for text in [
            "",
            "11111111111",
            "11111111111 3 1",
            "11111111111 1 x",
            "111 1 1",
            "11111111111 1 1 1",
            "111111111111 1 1",
        ] {
            assert_eq!(Forms::from_text(text), None, "{text}");
        }
        assert_eq!(Forms::of(Preset::IntegerDot, 1).extras(), ", integer dot products");
    }
}
