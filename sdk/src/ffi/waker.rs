//! Wakers over the boundary, in both directions.

use std::{
    mem::{ManuallyDrop, size_of},
    sync::Arc,
    task::{RawWaker, RawWakerVTable, Waker},
};

use jackfield_abi as abi;

use super::{guard, quiet, sized};

/// Our waker, lent for one poll. The other side clones what it keeps.
#[repr(C)]
pub(super) struct Lent<'w> {
    abi: abi::Waker,
    waker: &'w Waker,
}

impl<'w> Lent<'w> {
    pub(super) fn new(waker: &'w Waker) -> Self {
        Self {
            abi: abi::Waker {
                vtable: &raw const LENT,
            },
            waker,
        }
    }

    pub(super) fn as_abi(&self) -> *const abi::Waker {
        std::ptr::from_ref(self).cast()
    }
}

/// Our waker, kept by the other side.
#[repr(C)]
struct Kept {
    abi: abi::Waker,
    waker: Waker,
}

static LENT: abi::WakerVtable = abi::WakerVtable {
    size: size_of::<abi::WakerVtable>(),
    clone: clone_lent,
    wake: wake_lent,
    wake_by_ref: wake_lent,
    drop: drop_lent,
};

static KEPT: abi::WakerVtable = abi::WakerVtable {
    size: size_of::<abi::WakerVtable>(),
    clone: clone_kept,
    wake: wake_kept,
    wake_by_ref: wake_kept_by_ref,
    drop: drop_kept,
};

unsafe extern "C" fn clone_lent(waker: *const abi::Waker) -> *const abi::Waker {
    // SAFETY: only `Lent` has this vtable, and it lives for the whole poll.
    let lent = unsafe { &*waker.cast::<Lent<'_>>() };
    let kept = Kept {
        abi: abi::Waker {
            vtable: &raw const KEPT,
        },
        // One that cannot be cloned wakes nobody, which is what its maker gets from anybody else.
        waker: guard(|| lent.waker.clone()).unwrap_or_else(|_| Waker::noop().clone()),
    };
    Arc::into_raw(Arc::new(kept)).cast()
}

unsafe extern "C" fn wake_lent(waker: *const abi::Waker) {
    // SAFETY: as in `clone_lent`.
    let lent = unsafe { &*waker.cast::<Lent<'_>>() };
    quiet(|| lent.waker.wake_by_ref());
}

unsafe extern "C" fn drop_lent(_: *const abi::Waker) {}

unsafe extern "C" fn clone_kept(waker: *const abi::Waker) -> *const abi::Waker {
    // SAFETY: only `Arc<Kept>` has this vtable, and the caller holds a reference.
    unsafe { Arc::increment_strong_count(waker.cast::<Kept>()) };
    waker
}

unsafe extern "C" fn wake_kept(waker: *const abi::Waker) {
    // SAFETY: as in `clone_kept`; this takes the caller's reference over.
    let kept = unsafe { Arc::from_raw(waker.cast::<Kept>()) };
    quiet(|| {
        kept.waker.wake_by_ref();
        drop(kept);
    });
}

unsafe extern "C" fn wake_kept_by_ref(waker: *const abi::Waker) {
    // SAFETY: as in `clone_kept`.
    let kept = unsafe { &*waker.cast::<Kept>() };
    quiet(|| kept.waker.wake_by_ref());
}

unsafe extern "C" fn drop_kept(waker: *const abi::Waker) {
    // SAFETY: as in `wake_kept`.
    let kept = unsafe { Arc::from_raw(waker.cast::<Kept>()) };
    quiet(|| drop(kept));
}

/// Their waker, lent to us for one poll.
///
/// # Safety
/// `waker` follows the rules of [`abi::Waker`] until the result is dropped.
pub(super) unsafe fn borrow(waker: *const abi::Waker) -> ManuallyDrop<Waker> {
    // SAFETY: the caller's promise.
    if waker.is_null() || !unsafe { sized::reaches((*waker).vtable, sized::WAKER) } {
        return ManuallyDrop::new(Waker::noop().clone());
    }
    // SAFETY: the vtable below keeps `RawWaker`'s contract by the rules of the boundary.
    ManuallyDrop::new(unsafe { Waker::from_raw(RawWaker::new(waker.cast(), &THEIRS)) })
}

static THEIRS: RawWakerVTable = RawWakerVTable::new(clone_theirs, wake_theirs, wake_theirs_by_ref, drop_theirs);

/// SAFETY: whoever calls these four holds a waker that follows the rules.
unsafe fn functions(data: *const ()) -> (*const abi::Waker, *const abi::WakerVtable) {
    let waker = data.cast::<abi::Waker>();
    // SAFETY: see above.
    (waker, unsafe { (*waker).vtable })
}

unsafe fn clone_theirs(data: *const ()) -> RawWaker {
    // SAFETY: see `functions`.
    unsafe {
        let (waker, vtable) = functions(data);
        RawWaker::new(((*vtable).clone)(waker).cast(), &THEIRS)
    }
}

unsafe fn wake_theirs(data: *const ()) {
    // SAFETY: see `functions`.
    unsafe {
        let (waker, vtable) = functions(data);
        ((*vtable).wake)(waker);
    }
}

unsafe fn wake_theirs_by_ref(data: *const ()) {
    // SAFETY: see `functions`.
    unsafe {
        let (waker, vtable) = functions(data);
        ((*vtable).wake_by_ref)(waker);
    }
}

unsafe fn drop_theirs(data: *const ()) {
    // SAFETY: see `functions`.
    unsafe {
        let (waker, vtable) = functions(data);
        ((*vtable).drop)(waker);
    }
}
