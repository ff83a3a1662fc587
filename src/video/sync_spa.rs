//! Explicit sync in PipeWire's own format: what asks for it, and the points of a frame. Pure.
//!
//! The names are those of PipeWire 1.2's headers, which older ones, that this also builds with, do not have.

use libspa::pod::{Property, PropertyFlags, Value};

use crate::video::sync::Points;

/// `enum spa_data_type`: a DRM sync timeline's descriptor.
pub const SPA_DATA_SYNC_OBJ: u32 = 5;

/// `enum spa_meta_type`: [`read_points`].
pub const SPA_META_SYNC_TIMELINE: u32 = 9;

/// `enum spa_param_buffers`: a mask of the metas that buffers must have.
pub const SPA_PARAM_BUFFERS_META_TYPE: u32 = 7;

/// Bytes of `struct spa_meta_sync_timeline`: u32 flags, u32 padding, u64 acquire_point, u64 release_point.
pub const SYNC_TIMELINE_SIZE: usize = 24;

/// The property of a Buffers param that takes only buffers with timelines: one without this comes after it.
pub fn only_with_timelines() -> Property {
    Property {
        key: SPA_PARAM_BUFFERS_META_TYPE,
        flags: PropertyFlags::MANDATORY,
        value: Value::Int(1 << SPA_META_SYNC_TIMELINE),
    }
}

/// Reads a `struct spa_meta_sync_timeline`; `None` when it is shorter than that.
pub fn read_points(meta: &[u8]) -> Option<Points> {
    let at = |offset: usize| {
        let bytes = meta.get(offset..offset + 8)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    };
    Some(Points { acquire: at(8)?, release: at(16)? })
}

#[cfg(test)]
mod tests {
    use libspa::sys;

    use super::*;

    #[test]
    fn names_continue_those_that_older_headers_have() {
        // PipeWire 1.2, spa/buffer/buffer.h: SPA_DATA_SyncObj follows SPA_DATA_MemId.
        assert_eq!(SPA_DATA_SYNC_OBJ, sys::SPA_DATA_MemId + 1);
        // spa/buffer/meta.h: SPA_META_SyncTimeline follows SPA_META_VideoTransform.
        assert_eq!(SPA_META_SYNC_TIMELINE, sys::SPA_META_VideoTransform + 1);
        // spa/param/buffers.h: SPA_PARAM_BUFFERS_metaType follows SPA_PARAM_BUFFERS_dataType.
        assert_eq!(SPA_PARAM_BUFFERS_META_TYPE, sys::SPA_PARAM_BUFFERS_dataType + 1);
    }

    #[test]
    fn points_come_after_eight_bytes_of_flags() {
        let mut meta = [0xff; SYNC_TIMELINE_SIZE];
        meta[8..16].copy_from_slice(&1u64.to_ne_bytes());
        meta[16..].copy_from_slice(&(u64::from(u32::MAX) + 2).to_ne_bytes());
        assert_eq!(read_points(&meta), Some(Points { acquire: 1, release: u64::from(u32::MAX) + 2 }));
        assert_eq!(read_points(&meta[..23]), None);
    }
}
