//! Which instructions this process may use, found out once.

use std::fmt;
#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use super::{amx, kernels};

/// An instruction set that there are kernels for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust. On x86-64 its fused multiply-add is a library call, so it serves tests only.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// AVX2 with the integer dot products of AVX-VNNI.
    AvxVnni,
    /// x86-64 with AVX-512 (F, BW, VL, DQ) and its VNNI integer dot products.
    Avx512,
    /// AVX-512 with the products of bf16 pairs of AVX512_BF16 for f16 and bf16 weights. Its results are not those of
    /// the others: see [`Self::is_exact`].
    Avx512Bf16,
    /// AVX-512 with the matrix registers of AMX and their 8-bit products.
    Amx,
    /// aarch64's base vector instructions.
    Neon,
    /// NEON with the integer dot products of Armv8.2 (`sdot`).
    DotProd,
    /// NEON with integer dot products and the integer matrix products of Armv8.6 (`smmla`).
    I8mm,
}

impl Isa {
    /// All that there are kernels for, on any machine.
    pub const ALL: &[Isa] = &[
        Isa::Scalar,
        Isa::Avx2,
        Isa::AvxVnni,
        Isa::Avx512,
        Isa::Avx512Bf16,
        Isa::Amx,
        Isa::Neon,
        Isa::DotProd,
        Isa::I8mm,
    ];

    /// The fastest that this machine has; `None` on an x86-64 without AVX2, FMA or F16C. [`Isa::Amx`] is not chosen,
    /// only taken when asked for: it has not run on a processor that has it yet.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return Avx512::new()
            .map(|_| Isa::Avx512)
            .or(AvxVnni::new().map(|_| Isa::AvxVnni))
            .or(Avx2::new().map(|_| Isa::Avx2));
        #[cfg(target_arch = "aarch64")]
        return I8mm::new().map(|_| Isa::I8mm).or(DotProd::new().map(|_| Isa::DotProd)).or(Some(Isa::Neon));
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        return Some(Isa::Scalar);
    }

    /// Whether its results are those of every other exact set, to the bit. The one that is not rounds activations to
    /// bf16 to be faster, and is used only when asked for.
    pub const fn is_exact(self) -> bool {
        !matches!(self, Isa::Avx512Bf16)
    }

    /// The exact ones that this machine has, slowest first, then those that are not.
    pub fn available_by_name() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let more = Avx512Bf16::new().map(|_| Isa::Avx512Bf16);
        #[cfg(not(target_arch = "x86_64"))]
        let more = None;
        Self::available().into_iter().chain(more).collect()
    }

    /// The exact ones that this machine has, slowest first.
    pub fn available() -> Vec<Self> {
        let mut all = vec![Isa::Scalar];
        #[cfg(target_arch = "x86_64")]
        all.extend(Avx2::new().map(|_| Isa::Avx2));
        #[cfg(target_arch = "x86_64")]
        all.extend(AvxVnni::new().map(|_| Isa::AvxVnni));
        #[cfg(target_arch = "x86_64")]
        all.extend(Avx512::new().map(|_| Isa::Avx512));
        #[cfg(target_arch = "x86_64")]
        all.extend(Amx::new().map(|_| Isa::Amx));
        #[cfg(target_arch = "aarch64")]
        all.push(Isa::Neon);
        #[cfg(target_arch = "aarch64")]
        all.extend(DotProd::new().map(|_| Isa::DotProd));
        #[cfg(target_arch = "aarch64")]
        all.extend(I8mm::new().map(|_| Isa::I8mm));
        all
    }

    /// The name for display.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::AvxVnni => "avxvnni",
            Isa::Avx512 => "avx512",
            Isa::Avx512Bf16 => "avx512bf16",
            Isa::Amx => "amx",
            Isa::Neon => "neon",
            Isa::DotProd => "dotprod",
            Isa::I8mm => "i8mm",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A type whose values prove that instructions are there, so that kernels which take one are safe to call.
macro_rules! proof {
    ($(#[$doc:meta])* $name:ident of $arch:literal, if $there:expr) => {
        $(#[$doc])*
        #[cfg(target_arch = $arch)]
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $name(());

        #[cfg(target_arch = $arch)]
        impl $name {
            /// The proof, if this CPU (and its system) has them.
            pub fn new() -> Option<Self> {
                $there.then_some(Self(()))
            }

            /// The proof without looking.
            ///
            /// # Safety
            /// They must be there.
            #[inline(always)]
            pub unsafe fn assume() -> Self {
                Self(())
            }
        }
    };
}

proof!(
    /// Proof that AVX2, FMA and F16C are there.
    Avx2 of "x86_64",
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
);

proof!(
    /// Proof that AVX-VNNI is there, and all that [`Avx2`] stands for.
    AvxVnni of "x86_64",
    if Avx2::new().is_some() && is_x86_feature_detected!("avxvnni")
);

proof!(
    /// Proof that AVX-512 F, BW, VL, DQ and VNNI are there, and all that [`Avx2`] stands for.
    Avx512 of "x86_64",
    if Avx2::new().is_some()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vnni")
);

proof!(
    /// Proof that AVX512_BF16 is there, and all that [`Avx512`] stands for.
    Avx512Bf16 of "x86_64",
    if Avx512::new().is_some() && is_x86_feature_detected!("avx512bf16")
);

proof!(
    /// Proof that AMX's tiles and 8-bit products are there, that the system lets this process use them and the kernels
    /// pass their check on this machine, and all that [`Avx512`] stands for together with AVX-512 VBMI.
    Amx of "x86_64",
    if amx_works()
);

/// Asked and checked once.
#[cfg(target_arch = "x86_64")]
fn amx_works() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| {
        let there = Avx512::new().is_some() && is_x86_feature_detected!("avx512vbmi") && amx::is_granted();
        there && kernels::amx_works(Amx(()))
    })
}

#[cfg(target_arch = "x86_64")]
impl Avx512Bf16 {
    /// What it proves besides.
    #[inline(always)]
    pub fn avx512(self) -> Avx512 {
        Avx512(())
    }
}

#[cfg(target_arch = "x86_64")]
impl Amx {
    /// What it proves besides.
    #[inline(always)]
    pub fn avx512(self) -> Avx512 {
        Avx512(())
    }
}

proof!(
    /// Proof that NEON is there, which is so on every aarch64 that this is built for.
    Neon of "aarch64",
    if cfg!(target_feature = "neon")
);

proof!(
    /// Proof that the dot products (`sdot`) are there, and all that [`Neon`] stands for.
    DotProd of "aarch64",
    if Neon::new().is_some() && std::arch::is_aarch64_feature_detected!("dotprod")
);

proof!(
    /// Proof that the matrix products (`smmla`) are there, and all that [`DotProd`] stands for.
    I8mm of "aarch64",
    if DotProd::new().is_some() && std::arch::is_aarch64_feature_detected!("i8mm")
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::kernels::Kernels;

    #[test]
    fn the_best_set_comes_last_and_all_have_kernels() {
        let all = Isa::available();
        assert_eq!(all[0], Isa::Scalar);
        assert!(all.iter().all(|isa| Isa::ALL.contains(isa)));
        let best = all.iter().copied().rfind(|&isa| isa != Isa::Amx);
        assert_eq!(best, Isa::detect().or(Some(Isa::Scalar)));
        for (i, &isa) in all.iter().enumerate() {
            assert!(!all[..i].contains(&isa), "{isa} twice");
            assert!(Kernels::of(isa).is_some(), "{isa}");
        }
        // What has the wider vectors can also do with the narrower ones.
        assert!(!all.contains(&Isa::Avx512) || all.contains(&Isa::Avx2));
        assert!(!all.contains(&Isa::AvxVnni) || all.contains(&Isa::Avx2));
        assert!(!all.contains(&Isa::Amx) || all.contains(&Isa::Avx512));
        assert!(!all.contains(&Isa::I8mm) || all.contains(&Isa::DotProd));
        assert!(!all.contains(&Isa::DotProd) || all.contains(&Isa::Neon));
    }
}
