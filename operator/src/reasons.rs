//! Lists of reasons: words that people and their alerts may rely on, each with its meaning.

/// Declares a documented list of reasons. A reason's name is a contract: it appears in conditions, events and JSON.
macro_rules! reasons {
    ($(#[$about:meta])* $list:ident { $($reason:ident => $meaning:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        pub enum $list {
            $(#[doc = $meaning] $reason,)+
        }

        impl $list {
            /// All of them, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$reason,)+];

            /// Returns the word itself.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$reason => stringify!($reason),)+ }
            }

            /// Returns what it means, in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$reason => $meaning,)+ }
            }
        }

        impl std::fmt::Display for $list {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.name())
            }
        }
    };
}

pub(crate) use reasons;
