//! What C programs hold by pointer: models, sessions, jobs.
//!
//! In: pointers of C programs. Out: the Rust value behind them, borrowed or owned. [`Handle`] says once for each C name
//! which Rust type owns the value, so that a pointer is given out and taken back as the same type. Knows nothing of
//! what the values do.

use super::memory::usable;
use super::process;
use super::status::Outcome;
use std::sync::Arc;

/// A smart pointer that can be held as a raw pointer.
pub(super) trait Owner: Sized {
    type Value;

    fn into_raw(self) -> *const Self::Value;

    /// # Safety
    /// `pointer` is from [`Owner::into_raw`] of the same type, and this is called once for it.
    unsafe fn from_raw(pointer: *const Self::Value) -> Self;
}

impl<T> Owner for Box<T> {
    type Value = T;

    fn into_raw(self) -> *const T {
        Box::into_raw(self)
    }

    unsafe fn from_raw(pointer: *const T) -> Self {
        // SAFETY: `pointer` is from `Box::into_raw`, as the caller promises.
        unsafe { Box::from_raw(pointer.cast_mut()) }
    }
}

impl<T> Owner for Arc<T> {
    type Value = T;

    fn into_raw(self) -> *const T {
        Arc::into_raw(self)
    }

    unsafe fn from_raw(pointer: *const T) -> Self {
        // SAFETY: `pointer` is from `Arc::into_raw`, as the caller promises.
        unsafe { Arc::from_raw(pointer) }
    }
}

/// A type that C programs know by name only. `*mut Self` in C is the raw pointer of an [`Owner`].
pub(super) trait Handle {
    /// What owns the value: a box where only the handle does, an `Arc` where something else may, too.
    type Owner: Owner;
    /// What messages call it.
    const NAME: &'static str;
}

type Value<C> = <<C as Handle>::Owner as Owner>::Value;

fn checked<C: Handle>(pointer: *const C) -> Outcome<*const Value<C>> {
    let pointer = pointer.cast::<Value<C>>();
    usable(pointer, C::NAME)?;
    process::not_forked()?;
    Ok(pointer)
}

/// Makes the pointer that a C program gets and owns.
pub(super) fn give<C: Handle>(owner: C::Owner) -> *mut C {
    owner.into_raw().cast_mut().cast()
}

/// Takes back what [`give`] gave; `None` for NULL.
///
/// # Safety
/// `pointer` is NULL or from [`give`], and nobody uses it any more.
pub(super) unsafe fn take<C: Handle>(pointer: *mut C) -> Option<C::Owner> {
    // SAFETY: `give` made the pointer of `C::Owner`, and the caller gives it back.
    (!pointer.is_null()).then(|| unsafe { C::Owner::from_raw(pointer.cast()) })
}

/// The value behind a handle. A child that was forked is refused: a lock of the value may stay closed there for ever.
///
/// # Safety
/// `pointer` is NULL or from [`give`] and not taken back during `'a`.
pub(super) unsafe fn borrow<'a, C: Handle>(pointer: *const C) -> Outcome<&'a Value<C>> {
    // SAFETY: not NULL and aligned; live, as the caller promises.
    checked(pointer).map(|value| unsafe { &*value })
}

/// As [`borrow`], and the value lives as long as the result.
///
/// # Safety
/// `pointer` is NULL or from [`give`] and not taken back during the call.
pub(super) unsafe fn share<T, C: Handle<Owner = Arc<T>>>(pointer: *const C) -> Outcome<Arc<T>> {
    let value = checked(pointer)?;
    // SAFETY: not NULL; `give` made it of an `Arc` that is live, as the caller promises. The count that is added
    // belongs to the result.
    unsafe {
        Arc::increment_strong_count(value);
        Ok(Arc::from_raw(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct OfBox;

    impl Handle for OfBox {
        type Owner = Box<u64>;
        const NAME: &'static str = "box";
    }

    struct OfArc;

    impl Handle for OfArc {
        type Owner = Arc<u64>;
        const NAME: &'static str = "arc";
    }

    #[test]
    fn a_handle_is_borrowed_and_taken_back() {
        let pointer = give::<OfBox>(Box::new(7));
        // SAFETY: it was given above and is taken back once, at the end.
        unsafe {
            assert_eq!(*borrow(pointer).unwrap(), 7);
            assert_eq!(take(pointer), Some(Box::new(7)));
        }
    }

    #[test]
    fn a_shared_handle_outlives_what_was_taken_back() {
        let value = Arc::new(7);
        let pointer = give::<OfArc>(value.clone());
        // SAFETY: it was given above and is taken back once, before the last use of `shared`, which owns a count.
        let shared = unsafe {
            let shared = share(pointer).unwrap();
            drop(take(pointer));
            shared
        };
        assert_eq!((*shared, Arc::strong_count(&value)), (7, 2));
    }

    #[test]
    fn null_and_an_odd_address_are_refused() {
        let odd = std::ptr::without_provenance::<OfBox>(1);
        // SAFETY: refused before anything is read.
        let (null, odd) = unsafe { (borrow::<OfBox>(std::ptr::null()), borrow(odd)) };
        assert_eq!(null.unwrap_err().to_string(), "box: NULL");
        assert!(odd.unwrap_err().to_string().starts_with("box: its address is 0x1, expected a multiple of 8"));
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { take::<OfArc>(std::ptr::null_mut()) }, None);
    }
}
