use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::reactor::{BlockBuilder, Kind};

/// A span of frames that are `n` bytes each on the wire.
fn span(frames: usize, n: usize, fill: u8) -> Span {
    let mut builder = BlockBuilder::default();
    for _ in 0..frames {
        builder.push(Kind::Binary, &vec![fill; n - 2]);
    }
    Span::whole(builder.finish())
}

fn push(queue: &mut Queue, span: &Span, overflow: Overflow, bound: usize) -> Pushed {
    queue.push(span, overflow, bound).outcome
}

/// What would be written now.
fn content(queue: &Queue) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let count = queue.slices(&mut slices);
    slices[..count]
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect()
}

/// The payload's fill byte of each frame that waits; only whole frames.
fn fills(queue: &Queue) -> Vec<u8> {
    let content = content(queue);
    let mut rest = content.as_slice();
    let mut fills = Vec::new();
    while let [_, length, payload @ ..] = rest {
        fills.push(payload[0]);
        rest = &payload[usize::from(*length)..];
    }
    fills
}

#[test]
fn close_asks_the_caller_and_changes_nothing() {
    let mut queue = Queue::default();
    assert_eq!(
        push(&mut queue, &span(2, 10, 1), Overflow::Close(4508), 25),
        Pushed::Queued
    );
    assert_eq!(
        push(&mut queue, &span(1, 10, 2), Overflow::Close(4508), 25),
        Pushed::Closed
    );
    assert_eq!((queue.bytes(), fills(&queue)), (20, vec![1, 1]));
}

#[test]
fn a_queue_that_is_half_full_takes_what_is_larger_than_the_bound() {
    for (waits, expected) in [(0, true), (12, true), (13, false), (25, false)] {
        let mut queue = Queue::default();
        if waits > 0 {
            queue.append(&[&vec![0; waits]]);
        }
        let large = span(3, 10, 1);
        let pushed = push(&mut queue, &large, Overflow::Close(4508), 25);
        assert_eq!(pushed == Pushed::Queued, expected, "{waits}");
        let pushed = push(&mut queue, &span(1, 3, 2), Overflow::Close(4508), 25);
        let fits = !expected && waits + 3 <= 25;
        assert_eq!(pushed == Pushed::Queued, fits, "{waits}");
    }
}

#[test]
fn drop_newest_leaves_the_queue() {
    let mut queue = Queue::default();
    assert_eq!(
        push(&mut queue, &span(2, 10, 1), Overflow::DropNewest, 25),
        Pushed::Queued
    );
    assert_eq!(
        push(&mut queue, &span(3, 10, 2), Overflow::DropNewest, 25),
        Pushed::Dropped(3)
    );
    assert_eq!(fills(&queue), [1, 1]);
}

#[test]
fn latest_wins_replaces_its_key_only_when_full() {
    let latest = |key| Overflow::LatestWins { key };
    let mut queue = Queue::default();
    assert_eq!(
        push(&mut queue, &span(1, 10, 1), latest(1), 45),
        Pushed::Queued
    );
    assert_eq!(
        push(&mut queue, &span(1, 10, 2), latest(2), 45),
        Pushed::Queued
    );
    assert_eq!(
        push(&mut queue, &span(2, 10, 3), latest(1), 45),
        Pushed::Queued
    );
    assert_eq!(
        push(&mut queue, &span(1, 10, 4), latest(1), 45),
        Pushed::Replaced(3)
    );
    assert_eq!((fills(&queue), queue.bytes()), (vec![2, 4], 20));
    queue.append(&[&[0; 10]]);
    let newest = queue.push(&span(4, 10, 5), latest(1), 45);
    assert_eq!((newest.queued, newest.dropped), (0, 4));
    let newest = queue.push(&span(2, 10, 5), latest(1), 45);
    assert_eq!((newest.queued, newest.dropped), (2, 1));
}

#[test]
fn a_cut_does_not_tear_a_frame_that_began_outside() {
    let mut queue = Queue::default();
    queue.prepend(b"st of a frame");
    push(&mut queue, &span(2, 10, 1), Overflow::DropNewest, 100);
    assert_eq!(queue.cut(), 2);
    assert_eq!(content(&queue), b"st of a frame");
    queue.take(13);
    push(&mut queue, &span(2, 10, 1), Overflow::DropNewest, 100);
    assert_eq!((queue.cut(), queue.bytes()), (2, 0));
}

#[test]
fn what_tls_has_taken_is_queued_until_the_kernel_has_it() {
    let mut queue = Queue::default();
    push(&mut queue, &span(3, 10, 1), Overflow::DropNewest, 100);
    // The first frame and a part of the second have become 31 bytes of ciphertext.
    queue.take(12);
    queue.set_sealed(31);
    assert_eq!((queue.bytes(), queue.sealed()), (49, 31));
    assert_eq!(
        push(&mut queue, &span(1, 10, 2), Overflow::Close(4508), 50),
        Pushed::Closed
    );
    assert_eq!((queue.cut(), queue.bytes()), (1, 39));
    queue.take(8);
    assert!(!queue.is_empty() && content(&queue).is_empty());
    queue.append(&[&[0; 5]]);
    queue.set_sealed(0);
    assert_eq!(queue.bytes(), 5);
    queue.take(5);
    assert!(queue.is_empty());
}

#[test]
fn latest_wins_keeps_the_older_value_when_the_newer_does_not_fit() {
    let mut queue = Queue::default();
    push(
        &mut queue,
        &span(1, 10, 1),
        Overflow::LatestWins { key: 1 },
        25,
    );
    push(&mut queue, &span(1, 10, 2), Overflow::DropNewest, 25);
    let pushed = push(
        &mut queue,
        &span(2, 10, 3),
        Overflow::LatestWins { key: 1 },
        25,
    );
    assert_eq!((pushed, fills(&queue)), (Pushed::Dropped(2), vec![1, 2]));
}

#[test]
fn latest_wins_leaves_what_has_begun_to_be_written() {
    let mut queue = Queue::default();
    push(
        &mut queue,
        &span(1, 10, 1),
        Overflow::LatestWins { key: 1 },
        25,
    );
    push(
        &mut queue,
        &span(1, 10, 2),
        Overflow::LatestWins { key: 1 },
        25,
    );
    queue.take(4);
    let pushed = push(
        &mut queue,
        &span(1, 15, 3),
        Overflow::LatestWins { key: 1 },
        25,
    );
    assert_eq!((pushed, queue.bytes()), (Pushed::Replaced(1), 21));
    queue.take(6);
    assert_eq!(fills(&queue), [3]);
}

#[test]
fn a_cut_ends_behind_the_frame_that_has_begun() {
    let mut queue = Queue::default();
    push(&mut queue, &span(3, 10, 1), Overflow::DropNewest, 100);
    push(&mut queue, &span(2, 10, 2), Overflow::DropNewest, 100);
    queue.take(12);
    assert_eq!(queue.cut(), 3);
    assert_eq!(queue.bytes(), 8);
    queue.append_frame(Opcode::Close, b"");
    queue.take(8);
    assert_eq!(content(&queue), [0x88, 0]);

    let mut untouched = Queue::default();
    push(&mut untouched, &span(3, 10, 1), Overflow::DropNewest, 100);
    assert_eq!(
        (untouched.cut(), untouched.bytes(), untouched.is_empty()),
        (3, 0, true)
    );
}

#[test]
fn small_frames_are_joined() {
    let mut queue = Queue::default();
    for _ in 0..1_000 {
        queue.append_frame(Opcode::Text, b"1234567890");
    }
    assert_eq!((queue.entries.len(), queue.bytes()), (1, 12_000));
}

#[test]
fn an_empty_span_is_no_entry() {
    let mut queue = Queue::default();
    let empty = Span {
        block: Rc::clone(&span(1, 10, 1).block),
        first: 1,
        end: 1,
    };
    assert_eq!(
        push(&mut queue, &empty, Overflow::Close(4508), 0),
        Pushed::Queued
    );
    assert!(queue.is_empty());
}

proptest! {
    #[test]
    fn what_goes_in_comes_out_in_order_however_short_the_writes(
        pushes in prop::collection::vec((any::<bool>(), 1_usize..5, 3_usize..100), 0..90),
        writes in prop::collection::vec(0_usize..300, 0..200),
    ) {
        let mut queue = Queue::default();
        let mut expected = Vec::new();
        for (i, (shared, frames, size)) in pushes.into_iter().enumerate() {
            let span = span(frames, size, i as u8);
            expected.extend_from_slice(span.as_bytes());
            if shared {
                prop_assert_eq!(push(&mut queue, &span, Overflow::DropNewest, usize::MAX), Pushed::Queued);
            } else {
                queue.append(&[span.as_bytes()]);
            }
        }
        let mut written = Vec::new();
        for write in writes.into_iter().chain(std::iter::repeat_n(10_000, 100)) {
            prop_assert_eq!(queue.bytes(), expected.len() - written.len());
            let next = content(&queue);
            let taken = write.min(next.len());
            written.extend_from_slice(&next[..taken]);
            queue.take(taken);
        }
        prop_assert!(queue.is_empty());
        prop_assert_eq!(written, expected);
    }
}
