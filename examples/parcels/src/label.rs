//! The carrier's own client code. It was written for tokio 0.2, bytes 0.5 and http 0.2, and nobody touches it any more.

use bytes05::{BufMut, BytesMut};
use jackfield_sdk::prelude::*;

/// What stands on a label: two digits over a text. Slow on purpose, as the carrier's is: it belongs off the request workers.
pub fn check_digits(text: &str) -> String {
    let mut block = BytesMut::with_capacity(text.len() + 1);
    block.put_slice(text.as_bytes());
    block.put_u8(b'#');
    let (tell, told) = tokio02::sync::oneshot::channel();
    let sum = block.iter().fold(7_u32, |sum, byte| (sum * 31 + u32::from(*byte)) % 97);
    let mut runtime = match tokio02::runtime::Builder::new().basic_scheduler().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return format!("?? {error}"),
    };
    runtime.block_on(async {
        tokio02::spawn(async move {
            tokio02::time::delay_for(std::time::Duration::from_millis(1)).await;
            // Whoever asked waits below.
            let _ = tell.send(format!("{sum:02}"));
        });
        told.await.unwrap_or_else(|_| "??".to_owned())
    })
}

/// The path of a parcel in the carrier's API.
pub fn path_of(parcel: &str) -> Result<String> {
    let uri: http02::Uri = format!("/parcels/{parcel}/confirmations").parse()?;
    Ok(uri.path().to_owned())
}
