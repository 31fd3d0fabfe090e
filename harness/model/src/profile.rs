//! The profiles of webhooks: names and paths changed with 1.6.0.

/// A webhook's names and paths: they changed with 1.6.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Up to 1.5.1.
    V1_5,
    /// From 1.6.0.
    V1_6,
}

impl Profile {
    /// Its name in target files and reports.
    pub fn word(self) -> &'static str {
        match self {
            Profile::V1_5 => "1.5",
            Profile::V1_6 => "1.6",
        }
    }

    /// The profile of a name.
    pub fn named(word: &str) -> Option<Self> {
        [Profile::V1_5, Profile::V1_6].into_iter().find(|profile| profile.word() == word)
    }
}
