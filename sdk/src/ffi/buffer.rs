//! Bytes over the boundary.

use std::{ffi::c_void, ptr};

use bytes::Bytes;
use jackfield_abi::{Buffer, Slice};

use super::quiet;

/// No bytes.
pub(super) const EMPTY: Buffer = Buffer {
    ptr: ptr::null(),
    len: 0,
    owner: ptr::null_mut(),
    free: None,
};

/// Ours, given away.
pub(super) fn give(bytes: Bytes) -> Buffer {
    if bytes.is_empty() {
        return EMPTY;
    }
    let (start, len) = (bytes.as_ptr(), bytes.len());
    let owner = Box::into_raw(Box::new(bytes)).cast::<c_void>();
    Buffer {
        ptr: start,
        len,
        owner,
        free: Some(free),
    }
}

unsafe extern "C" fn free(owner: *mut c_void) {
    // SAFETY: `owner` came from `Box::into_raw` in `give`, and the holder calls this once.
    let bytes = unsafe { Box::from_raw(owner.cast::<Bytes>()) };
    // `Bytes` may have an owner whose drop is anybody's code.
    quiet(|| drop(bytes));
}

/// Theirs, taken over.
///
/// # Safety
/// `buffer` follows the rules of [`Buffer`] and is not used again.
pub(super) unsafe fn take(buffer: Buffer) -> Bytes {
    let foreign = Foreign(buffer);
    if foreign.0.len == 0 {
        return Bytes::new();
    }
    Bytes::from_owner(foreign)
}

/// As text; what is not UTF-8 is replaced.
///
/// # Safety
/// As for [`take`].
pub(super) unsafe fn take_text(buffer: Buffer) -> String {
    // SAFETY: the caller's promise.
    String::from_utf8_lossy(&unsafe { take(buffer) }).into_owned()
}

struct Foreign(Buffer);

// SAFETY: the rules let every object be used from any thread.
unsafe impl Send for Foreign {}

impl AsRef<[u8]> for Foreign {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the maker keeps `len` bytes at `ptr` until `free`, which only `drop` calls.
        unsafe {
            view(Slice {
                ptr: self.0.ptr,
                len: self.0.len,
            })
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if let Some(free) = self.0.free {
            // SAFETY: we hold the buffer and drop once.
            unsafe { free(self.0.owner) }
        }
    }
}

/// Ours, lent for a call.
pub(super) fn lend(bytes: &[u8]) -> Slice {
    Slice {
        ptr: bytes.as_ptr(),
        len: bytes.len(),
    }
}

/// Theirs, lent to us.
///
/// # Safety
/// `slice` follows the rules of [`Slice`] for as long as `'a`.
pub(super) unsafe fn view<'a>(slice: Slice) -> &'a [u8] {
    if slice.len == 0 {
        return &[];
    }
    // SAFETY: the caller's promise: `len` readable bytes.
    unsafe { std::slice::from_raw_parts(slice.ptr, slice.len) }
}
