//! End-to-end suites: the shipped binary, real services, senders that are not ours.
