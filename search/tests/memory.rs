//! The reference engine passes the suite: its fixed results check the reference as well.

use futures::future::{BoxFuture, FutureExt, ready};
use millstream_search::SearchEngine;
use millstream_search::conformance::{Document, Fixture, MemoryEngine, model, run};
use std::sync::Arc;

struct Memory(Arc<MemoryEngine>);

impl Fixture for Memory {
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn SearchEngine>> {
        self.0 = Arc::new(MemoryEngine::new(model()));
        let engine: Arc<dyn SearchEngine> = Arc::<MemoryEngine>::clone(&self.0);
        ready(engine).boxed()
    }

    fn put<'a>(&'a mut self, documents: &'a [Document]) -> BoxFuture<'a, ()> {
        self.0.put(documents);
        ready(()).boxed()
    }
}

#[test]
fn the_reference_passes_its_own_suite() {
    let mut fixture = Memory(Arc::new(MemoryEngine::new(model())));
    futures::executor::block_on(run(&mut fixture));
}
