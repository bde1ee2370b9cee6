use std::future::{Ready, ready};

use super::*;

fn make() -> Ready<(Arc<dyn MessageStore>, ())> {
    ready((Arc::new(MemoryStore::default()), ()))
}

crate::message_store_contract!(make);
