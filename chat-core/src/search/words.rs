//! What a word is: a run between the word boundaries of Unicode (UAX #29) that holds a letter or a digit, in lower
//! case. The same for documents, queries and highlights, and near enough the `standard` analyzer of Elasticsearch:
//! `can't` is one word, each Han character is one.

use std::ops::Range;

use rustc_hash::FxHashSet;
use unicode_segmentation::UnicodeSegmentation;

/// Iterates over the words of a text, with the bytes each was made from.
pub(super) fn words(text: &str) -> impl Iterator<Item = (Range<usize>, String)> {
    text.unicode_word_indices().map(|(start, word)| (start..start + word.len(), word.to_lowercase()))
}

/// The words of a query, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted(FxHashSet<String>);

impl Wanted {
    /// Cuts a query into words.
    pub fn of(query: &str) -> Self {
        Self(words(query).map(|(_, word)| word).collect())
    }

    /// Returns whether there is no word: nothing matches then.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the words, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Returns whether a text has all of the words, of which there is at least one.
    pub fn match_all(&self, text: &str) -> bool {
        let found: FxHashSet<String> = words(text).map(|(_, word)| word).filter(|word| self.0.contains(word)).collect();
        !self.is_empty() && found.len() == self.0.len()
    }

    /// Returns where a text has one of the words: ascending ranges in UTF-16 units.
    pub fn highlights(&self, text: &str) -> Vec<(u64, u64)> {
        let utf16_len = |part: &str| part.encode_utf16().count() as u64;
        let (mut bytes, mut units) = (0, 0);
        let mut found = Vec::new();
        for (range, _) in words(text).filter(|(_, word)| self.0.contains(word)) {
            let start = units + utf16_len(&text[bytes..range.start]);
            let end = start + utf16_len(&text[range.clone()]);
            found.push((start, end));
            (bytes, units) = (range.end, end);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn highlights_count_utf16_units() {
        let wanted = Wanted::of("B you");
        for (text, expected) in [
            ("nothing", vec![]),
            ("b", vec![(0, 1)]),
            ("👍 b\u{301} 👍 b, B", vec![(9, 10), (12, 13)]),
            ("thank YOU, you", vec![(6, 9), (11, 14)]),
        ] {
            assert_eq!(wanted.highlights(text), expected, "{text:?}");
        }
    }

    #[test]
    fn all_words_must_be_there_and_a_query_without_one_matches_nothing() {
        let wanted = Wanted::of("red CAR red");
        for (text, matches) in [("a car, red", true), ("a red cart", false), ("red", false), ("", false)] {
            assert_eq!(wanted.match_all(text), matches, "{text:?}");
        }
        assert!(!Wanted::of("?!").match_all("anything"));
    }
}
