//! Which node carries the frames.

/// A node of the guest's PipeWire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its id, which another node has once this one is gone.
    pub id: u32,
    /// Its `object.serial`, which no other node ever has, where it is known: then the stream is linked to none but this.
    pub serial: Option<u64>,
}

impl From<u32> for Target {
    fn from(id: u32) -> Self {
        Self { id, serial: None }
    }
}
