//! Which structures of a data set are read.

/// A selection of structures by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classes(Option<Vec<String>>);

impl Classes {
    /// Every structure.
    pub fn all() -> Self {
        Self(None)
    }

    /// Those named. Case, `_` and the order of the words are ignored: `left kidney`, `kidney_left`.
    pub fn named<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        Self(Some(names.into_iter().map(|name| normalised(name.as_ref())).collect()))
    }

    /// One class per line; `#` begins a comment.
    pub fn from_list(text: &str) -> Self {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
        Self::named(lines.filter(|line| !line.is_empty()))
    }

    /// Whether the structure is selected.
    pub fn contain(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(&normalised(name)))
    }

    /// The number of names; `None` where all structures are selected.
    pub fn count(&self) -> Option<usize> {
        self.0.as_ref().map(Vec::len)
    }
}

fn normalised(name: &str) -> String {
    let lower = name.to_lowercase();
    let mut words: Vec<&str> = lower.split([' ', '_', '-']).filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names_match_in_any_order_and_spelling() {
        let classes = Classes::from_list("kidney_left # v1\n\n# none\nLiver\n");
        assert!(classes.contain("left kidney") && classes.contain("Kidney Left") && classes.contain("liver"));
        assert!(!classes.contain("right kidney"));
        assert_eq!(classes.count(), Some(2));
        assert!(Classes::all().contain("anything"));
    }
}
