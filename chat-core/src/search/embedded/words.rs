//! Words as the index takes them.

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use unicode_segmentation::{UnicodeSegmentation, UnicodeWordIndices};

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
    use crate::search::words::words;

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
}
