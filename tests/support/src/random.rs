//! Dice that can be thrown again.

/// A small generator (xorshift).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Prints its seed, which `MANYHANDS_SEED` sets.
    #[must_use]
    pub fn seeded() -> Self {
        let chosen = std::env::var("MANYHANDS_SEED").ok().and_then(|text| text.parse().ok());
        let seed = chosen.unwrap_or_else(|| u64::from(std::process::id()) * 0x9E37_79B9 + 1);
        println!("seed {seed} (MANYHANDS_SEED repeats it)");
        Self::of(seed)
    }

    #[must_use]
    pub fn of(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed.max(1))
    }

    /// Another one, which goes its own way.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::of(self.below(u64::MAX))
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// # Panics
    /// When there is nothing to pick from.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}
