//! What is taken from the allocator: nothing for a token, and no more for a session than its estimate says.

mod counting;
mod footprint;
mod passes;

/// One test, since the counters belong to the whole process: a second test, or the start of its thread, would be
/// counted too.
#[test]
fn memory_is_as_estimated() {
    passes::decoding_allocates_nothing();
    footprint::growing_takes_one_buffer_more();
    footprint::a_session_takes_what_was_foreseen();
    footprint::each_policy_takes_what_was_foreseen();
}
