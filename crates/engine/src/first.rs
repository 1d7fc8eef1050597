//! Whichever of two comes first.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum First<A, B> {
    Left(A),
    Right(B),
}

/// Both are looked at, the left one first; the other is dropped.
pub async fn first<A, B>(
    left: impl Future<Output = A>,
    right: impl Future<Output = B>,
) -> First<A, B> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| {
        if let Poll::Ready(value) = left.as_mut().poll(cx) {
            return Poll::Ready(First::Left(value));
        }
        right.as_mut().poll(cx).map(First::Right)
    })
    .await
}
