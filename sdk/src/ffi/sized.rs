//! Structs that the other side made: they are read no further than the size that they begin with.

use std::mem::{offset_of, size_of};

use jackfield_abi as abi;

/// Where the first version of each struct ends. One that is shorter is not used.
pub(super) const WAKER: usize = offset_of!(abi::WakerVtable, drop) + FUNCTION;
pub(super) const FUTURE: usize = offset_of!(abi::FutureVtable, drop) + FUNCTION;
pub(super) const RESPONSE_FUTURE: usize = offset_of!(abi::ResponseFutureVtable, drop) + FUNCTION;
pub(super) const RESPONSE: usize = offset_of!(abi::Response, body) + size_of::<abi::Body>();
pub(super) const BODY: usize = offset_of!(abi::BodyVtable, drop) + FUNCTION;
pub(super) const HEAD: usize = offset_of!(abi::RequestHead, span) + size_of::<u64>();
pub(super) const ENTRY: usize = offset_of!(abi::Entry, instance) + FUNCTION;
pub(super) const INSTANCE: usize = offset_of!(abi::InstanceVtable, release) + FUNCTION;
pub(super) const HOST: usize = offset_of!(abi::HostVtable, spawn) + FUNCTION;
/// Since minor 1.
pub(super) const INSTANCE_TASKS: usize = offset_of!(abi::InstanceVtable, tasks) + FUNCTION;
/// Since minor 1.
pub(super) const HOST_RECORD: usize = offset_of!(abi::HostVtable, record) + FUNCTION;

const FUNCTION: usize = size_of::<usize>();

/// What is said of a struct that is too short.
pub(super) const SHORT: &str = "the other side's struct is shorter than the first version of the boundary's";

/// Whether the struct is there and reaches to `end`. Fields before `end` may then be read, through the pointer: a
/// reference would stand for the whole struct as this side knows it.
///
/// # Safety
/// `start` is null, or points to a struct that begins with its size.
pub(super) unsafe fn reaches<T>(start: *const T, end: usize) -> bool {
    // SAFETY: the caller's promise.
    !start.is_null() && unsafe { start.cast::<usize>().read() } >= end
}
