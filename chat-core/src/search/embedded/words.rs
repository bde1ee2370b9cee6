//! What a word is: a run between the word boundaries of Unicode (UAX #29) that holds a letter or a digit, in lower
//! case. The same for documents, queries and highlights, and near enough the `standard` analyzer of Elasticsearch:
//! `can't` is one word, each Han character is one.

use std::ops::Range;

use rustc_hash::FxHashSet;
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use unicode_segmentation::{UnicodeSegmentation, UnicodeWordIndices};

/// Iterates over the words of a text, with the bytes each was made from.
fn words(text: &str) -> impl Iterator<Item = (Range<usize>, String)> {
    text.unicode_word_indices().map(|(start, word)| (start..start + word.len(), word.to_lowercase()))
}

/// Returns the words that a text has, each once.
pub(super) fn distinct(text: &str) -> FxHashSet<String> {
    words(text).map(|(_, word)| word).collect()
}

/// Returns where a text has one of these words: ascending ranges in UTF-16 units.
pub(super) fn highlights(text: &str, wanted: &FxHashSet<String>) -> Vec<(u64, u64)> {
    let utf16_len = |part: &str| part.encode_utf16().count() as u64;
    let (mut bytes, mut units) = (0, 0);
    let mut found = Vec::new();
    for (range, _) in words(text).filter(|(_, word)| wanted.contains(word)) {
        let start = units + utf16_len(&text[bytes..range.start]);
        let end = start + utf16_len(&text[range.clone()]);
        found.push((start, end));
        (bytes, units) = (range.end, end);
    }
    found
}

/// Cuts documents into words for the index.
#[derive(Clone, Default)]
pub(super) struct Words;

/// The words of one document.
pub(super) struct WordsOf<'a> {
    words: UnicodeWordIndices<'a>,
    token: Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordsOf<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordsOf<'a> {
        WordsOf { words: text.unicode_word_indices(), token: Token::default() }
    }
}

impl TokenStream for WordsOf<'_> {
    fn advance(&mut self) -> bool {
        let Some((start, word)) = self.words.next() else { return false };
        self.token.position = self.token.position.wrapping_add(1);
        self.token.offset_from = start;
        self.token.offset_to = start + word.len();
        self.token.text = word.to_lowercase();
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_queries_are_cut_alike() {
        for (text, expected) in [
            ("", vec![]),
            ("?! 👍", vec![]),
            ("Hello, WORLD!", vec!["hello", "world"]),
            ("can't e-mail 3.14 a_b", vec!["can't", "e", "mail", "3.14", "a_b"]),
            ("ÄPFEL Привет 東京都", vec!["äpfel", "привет", "東", "京", "都"]),
        ] {
            let mut stream_of = Words;
            let mut stream = stream_of.token_stream(text);
            let mut indexed = Vec::new();
            stream.process(&mut |token| indexed.push(token.text.clone()));
            assert_eq!(indexed, expected, "{text:?}");
            assert_eq!(words(text).map(|(_, word)| word).collect::<Vec<_>>(), expected, "{text:?}");
        }
    }

    #[test]
    fn highlights_count_utf16_units() {
        let wanted = distinct("B you");
        for (text, expected) in [
            ("nothing", vec![]),
            ("b", vec![(0, 1)]),
            ("👍 b\u{301} 👍 b, B", vec![(9, 10), (12, 13)]),
            ("thank YOU, you", vec![(6, 9), (11, 14)]),
        ] {
            assert_eq!(highlights(text, &wanted), expected, "{text:?}");
        }
    }
}
