//! Memory of C programs that results go to and arrays come from.
//!
//! In: pointers and counts of C programs. Out: values that are checked when they are made and used later without a
//! further promise: nothing is computed for memory that cannot take the result. Knows nothing of what is stored there.

use super::status::{BoundaryError, Outcome};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// Refuses NULL, and an address where no `T` can be, before anything is read there or computed that would go there.
pub(super) fn usable<T>(pointer: *const T, what: &'static str) -> Outcome {
    if pointer.is_null() {
        return Err(BoundaryError::Null(what));
    }
    if !pointer.is_aligned() {
        return Err(BoundaryError::invalid(format!(
            "{what}: its address is {pointer:p}, expected a multiple of {}",
            align_of::<T>()
        )));
    }
    Ok(())
}

/// Where one result goes. It is written only, so that results may share memory with arguments.
pub(super) struct Out<'a, T> {
    pointer: NonNull<T>,
    caller: PhantomData<&'a mut T>,
}

impl<T> Out<'_, T> {
    /// Refuses NULL and an address that no `T` can have.
    ///
    /// # Safety
    /// NULL, or writable during `'a`.
    pub unsafe fn new(pointer: *mut T, what: &'static str) -> Outcome<Self> {
        usable(pointer, what)?;
        let pointer = NonNull::new(pointer).ok_or(BoundaryError::Null(what))?;
        Ok(Self { pointer, caller: PhantomData })
    }

    /// As [`Out::new`]; `None` for NULL, where the caller does not ask for this result.
    ///
    /// # Safety
    /// As for [`Out::new`].
    pub unsafe fn optional(pointer: *mut T, what: &'static str) -> Outcome<Option<Self>> {
        // SAFETY: as the caller promises.
        (!pointer.is_null()).then(|| unsafe { Self::new(pointer, what) }).transpose()
    }

    /// Writes the result; what was there is not dropped.
    pub fn write(self, value: T) {
        // SAFETY: writable, as the caller of `new` promised.
        unsafe { self.pointer.write(value) }
    }
}

/// Refuses an array that memory cannot hold.
fn check_fits<T>(first: *const T, count: usize, what: &'static str) -> Outcome {
    let last = count.checked_mul(size_of::<T>()).filter(|&bytes| isize::try_from(bytes).is_ok());
    if last.and_then(|bytes| first.addr().checked_add(bytes)).is_none() {
        return Err(BoundaryError::invalid(format!("{what}: {count} values do not fit in memory")));
    }
    Ok(())
}

/// A caller's array to read.
pub(super) struct InArray<'a, T> {
    first: *const T,
    count: usize,
    what: &'static str,
    caller: PhantomData<&'a [T]>,
}

impl<'a, T> InArray<'a, T> {
    /// Refuses NULL and an address that no `T` can have.
    ///
    /// # Safety
    /// NULL, or readable during `'a` for `count` values, where memory can hold them.
    pub unsafe fn new(first: *const T, count: usize, what: &'static str) -> Outcome<Self> {
        usable(first, what)?;
        Ok(Self { first, count, what, caller: PhantomData })
    }

    /// How many values the caller says that there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The values, which must be exactly `expected`.
    pub fn slice(&self, expected: usize) -> Outcome<&'a [T]> {
        if self.count != expected {
            return Err(BoundaryError::invalid(format!("{}: {} values, expected {expected}", self.what, self.count)));
        }
        self.all()
    }

    /// The values, however many they are.
    pub fn all(&self) -> Outcome<&'a [T]> {
        check_fits(self.first, self.count, self.what)?;
        // SAFETY: aligned and within memory; readable, as the caller of `new` promised.
        Ok(unsafe { std::slice::from_raw_parts(self.first, self.count) })
    }
}

/// A caller's array to fill.
pub(super) struct OutArray<'a, T> {
    first: *mut T,
    count: usize,
    what: &'static str,
    caller: PhantomData<&'a mut [T]>,
}

impl<'a, T> OutArray<'a, T> {
    /// Refuses NULL and an address that no `T` can have.
    ///
    /// # Safety
    /// NULL, or writable during `'a` for `count` values, where memory can hold them, and used by nobody else.
    pub unsafe fn new(first: *mut T, count: usize, what: &'static str) -> Outcome<Self> {
        usable(first, what)?;
        Ok(Self { first, count, what, caller: PhantomData })
    }

    /// As [`OutArray::new`]; `None` for NULL, where the caller does not ask for this result.
    ///
    /// # Safety
    /// As for [`OutArray::new`].
    pub unsafe fn optional(first: *mut T, count: usize, what: &'static str) -> Outcome<Option<Self>> {
        // SAFETY: as the caller promises.
        (!first.is_null()).then(|| unsafe { Self::new(first, count, what) }).transpose()
    }

    /// Refuses another length than `expected`, before it is computed what goes there.
    pub fn check(&self, expected: usize) -> Outcome {
        if self.count != expected {
            return Err(BoundaryError::invalid(format!(
                "{}: room for {} values, expected {expected}",
                self.what, self.count
            )));
        }
        check_fits(self.first, self.count, self.what)
    }

    /// The values, which must be exactly `expected`. Arguments must have been read before: the array may share memory
    /// with them.
    pub fn slice(self, expected: usize) -> Outcome<&'a mut [T]> {
        self.check(expected)?;
        // SAFETY: aligned and within memory; writable and used by nobody else, as the caller of `new` promised.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.first, self.count) })
    }

    /// Fills the beginning with `values`; those for which there is no room are left out.
    pub fn fill_from(self, values: impl Iterator<Item = T>) {
        for (n, value) in values.take(self.count).enumerate() {
            // SAFETY: `n` is below `count`; writable, as the caller of `new` promised.
            unsafe { self.first.add(n).write(value) };
        }
    }
}
