//! Scopes: what a token allows.

use std::fmt;

/// A set of scopes in one byte, because every session holds one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scopes(u8);

impl Scopes {
    /// May read what the user may see.
    pub(crate) const READ: Self = Self(1);
    /// May send and change.
    pub(crate) const WRITE: Self = Self(2);
    /// May act for any user.
    pub(crate) const ADMIN: Self = Self(4);
    /// What a token without the claim allows.
    pub(crate) const DEFAULT: Self = Self(1 | 2);

    const NAMES: [(Self, &'static str); 3] = [(Self::READ, "read"), (Self::WRITE, "write"), (Self::ADMIN, "admin")];

    /// Reads the `scope` claim (RFC 8693: names separated by spaces). Names that are not ours are other services'.
    pub(crate) fn parse(claim: &str) -> Self {
        let named = |word: &str| Self::NAMES.into_iter().find(|(_, name)| *name == word);
        Self(claim.split(' ').filter_map(named).fold(0, |bits, (scope, _)| bits | scope.0))
    }

    /// Returns whether all of `wanted` are in the set.
    pub(crate) fn allow(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// Returns the names in the set.
    pub(crate) fn names(self) -> Vec<&'static str> {
        Self::NAMES.into_iter().filter(|(scope, _)| self.allow(*scope)).map(|(_, name)| name).collect()
    }

    /// Returns the set as a number, to be kept in an atomic.
    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    /// Makes the set of such a number.
    pub(crate) fn from_bits(bits: u8) -> Self {
        Self(bits & 7)
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_other_services_are_ignored() {
        assert_eq!(Scopes::parse("openid write email"), Scopes::WRITE);
        assert_eq!(Scopes::parse("read write"), Scopes::DEFAULT);
        assert_eq!(Scopes::parse("").names(), Vec::<&str>::new());
        assert!(!Scopes::WRITE.allow(Scopes::DEFAULT));
    }
}
