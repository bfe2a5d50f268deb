//! Figures, choices and texts out of a run of bytes. Where the bytes end, zeros follow.

/// What is left of an input.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number below `end`, which is at least 1.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let wide = if end > 256 { self.u64() } else { self.byte().into() };
        usize::try_from(wide % end as u64).unwrap()
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.bytes(8).iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    /// A number of any order of magnitude.
    pub(crate) fn scaled(&mut self) -> u64 {
        let bits = u32::from(self.byte()) % 65;
        self.u64() & u64::MAX.checked_shr(64 - bits).unwrap_or(0)
    }

    pub(crate) fn choice<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}
