//! The statements of a store, prepared once.

/// Makes a struct `Statements` of names and their CQL, and `Statements::prepare`.
macro_rules! statements {
    ($($name:ident: $cql:expr;)+) => {
        /// Every statement of the store.
        #[derive(Debug)]
        pub(super) struct Statements {
            $(pub(super) $name: scylla::statement::prepared::PreparedStatement,)+
        }

        impl Statements {
            /// Prepares all of them.
            pub(super) async fn prepare(
                cassandra: &crate::cassandra::Cassandra,
            ) -> Result<Self, crate::cassandra::OpenError> {
                Ok(Self { $($name: cassandra.prepare($cql).await?,)+ })
            }
        }
    };
}

pub(crate) use statements;
