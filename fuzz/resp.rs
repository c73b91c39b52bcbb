//! Requests of Redis clients out of any bytes, in any pieces.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| smache::front::resp::fuzz(bytes));
