//! Which devices guest and host draw on, and what that means for buffers: what one made with a layout of its own
//! may be garbage to another, even where it lets itself be imported.

use std::os::fd::AsFd as _;

use tracing::{debug, info};

use crate::bridge::Bridge;
use crate::device;
use crate::video::frame::{Frame, Negotiated};
use crate::video::negotiation::HostFormats;

/// Whether the guest draws on none of the host's devices, as far as both are known.
fn is_elsewhere(guest: &[u64], host: Option<u64>) -> bool {
    host.is_some_and(|host| !guest.is_empty() && guest.iter().all(|node| !device::is_same(*node, host)))
}

impl Bridge {
    /// What buffers the host takes of this guest.
    pub(super) fn host_formats(&self) -> HostFormats {
        let devices = self.guest.session().map_or(&[][..], |session| &session.devices);
        HostFormats { elsewhere: is_elsewhere(devices, self.host.main_device()), ..self.host.formats() }
    }

    /// Says once a session which devices are in play, aloud when they do not go together.
    pub(super) fn tell_devices(&self) {
        let devices = self.guest.session().map_or(&[][..], |session| &session.devices);
        let guest: Vec<String> = devices.iter().map(|node| device::name(*node)).collect();
        let host = self.host.main_device();
        let (guest, name) = (guest.join(", "), host.map_or("unknown".to_owned(), device::name));
        debug!(guest, host = name, "devices");
        if is_elsewhere(devices, host) {
            let host = name;
            info!(
                "the guest draws on {guest}, the host on {host}: only linear dmabufs or shared memory go between them; give both the same device"
            );
        }
    }

    /// Says which pair the host refused, and what is known of whose memory it was.
    pub(super) fn tell_refusal(&self, negotiated: Negotiated, modifier: u64, exporter: Option<&str>) {
        let host = self.host.main_device().map_or("unknown".to_owned(), device::name);
        info!(
            format = ?negotiated.format,
            modifier = %format!("{modifier:#x}"),
            "the host refused a dmabuf made by {} (the host's device: {host}); offering without this pair",
            exporter.unwrap_or("an unknown driver"),
        );
    }
}

/// Which driver made the memory of a frame.
pub(super) fn exporter(frame: &Frame) -> Option<String> {
    let file = frame.planes.first()?.fd.as_ref()?;
    device::exporter(file.as_fd())
}

#[cfg(test)]
mod tests {
    use super::is_elsewhere;

    #[test]
    fn only_what_is_known_to_be_elsewhere_is() {
        // Not in /sys: told apart by number alone, and so not told apart.
        let [one, other] = [rustix::fs::makedev(4095, 1), rustix::fs::makedev(4095, 2)];
        assert!(!is_elsewhere(&[], Some(one)));
        assert!(!is_elsewhere(&[one], None));
        assert!(!is_elsewhere(&[one], Some(one)));
        assert!(!is_elsewhere(&[other], Some(one)));
    }
}
