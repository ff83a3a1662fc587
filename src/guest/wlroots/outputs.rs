//! The size of a wlroots guest's own output, by zwlr_output_manager_v1: a headless one takes the window's. Others keep the
//! mode that a person gave them, and the picture is scaled.
//!
//! Protocol: wlr-output-management-unstable-v1.

use std::os::unix::net::UnixStream;
use std::pin::pin;

use futures_util::future::{Either, select};
use thiserror::Error;
use tracing::{debug, info};
use wayland_client::protocol::wl_callback::WlCallback;
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, delegate_dispatch, delegate_noop, event_created_child};
use wayland_protocols_wlr::output_management::v1::client::zwlr_output_configuration_head_v1::ZwlrOutputConfigurationHeadV1;
use wayland_protocols_wlr::output_management::v1::client::zwlr_output_configuration_v1::{
    self, ZwlrOutputConfigurationV1,
};
use wayland_protocols_wlr::output_management::v1::client::zwlr_output_head_v1::{self, ZwlrOutputHeadV1};
use wayland_protocols_wlr::output_management::v1::client::zwlr_output_manager_v1::{self, ZwlrOutputManagerV1};
use wayland_protocols_wlr::output_management::v1::client::zwlr_output_mode_v1::{self, ZwlrOutputModeV1};

use crate::guest::latest::Latest;
use crate::guest::wlroots::client::{Answered, Client, Lost};

/// How wlroots names outputs that are nobody's monitor.
const HEADLESS: &str = "HEADLESS-";

/// A configuration is void when the outputs change meanwhile; so often it is made anew.
const TRIES: usize = 5;

/// A size for the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Refreshes in a thousand seconds.
    pub refresh: u32,
}

/// Why the output's size is not to be had.
#[derive(Debug, Error)]
pub enum Fixed {
    /// The connection is over, which the session hears of by other ways too.
    #[error("{0}")]
    Gone(String),
    /// There is no zwlr_output_manager_v1.
    #[error("its compositor has no zwlr_output_manager_v1")]
    NoManager,
    /// What is shown is no headless output.
    #[error("it is not headless")]
    NoHeadless,
    /// The compositor would not.
    #[error("it refused {0}x{1}")]
    Refused(u32, u32),
}

impl From<Lost> for Fixed {
    fn from(lost: Lost) -> Self {
        Self::Gone(lost.to_string())
    }
}

/// The guest's outputs, as its compositor tells of them.
pub struct Heads(Client<Outputs>);

impl Heads {
    /// Asks a compositor for its outputs, on a connected socket that does not block.
    ///
    /// # Errors
    ///
    /// Why they are not to be had.
    pub async fn open(socket: UnixStream) -> Result<Self, Fixed> {
        let mut client = Client::new(socket, Outputs::default())?;
        client.connection.display().get_registry(&client.queue.handle(), ());
        // The globals, then the outputs.
        client.answered().await?;
        if client.state.manager.is_none() {
            return Err(Fixed::NoManager);
        }
        client.answered().await?;
        Ok(Self(client))
    }

    /// How many show something.
    pub fn count(&self) -> usize {
        self.enabled().count()
    }

    /// The output whose top left corner is here, in logical pixels; of several that mirror each other, the preferred one.
    pub fn at(&self, position: (i32, i32), preferred: Option<&str>) -> Option<&str> {
        let here = || self.enabled().filter(|head| head.position == position).map(|head| head.name.as_str());
        here().find(|name| Some(*name) == preferred).or_else(|| here().next())
    }

    fn enabled(&self) -> impl Iterator<Item = &Head> {
        self.0.state.heads.iter().filter(|head| head.enabled)
    }
}

/// Gives the guest's headless output each size that is wanted, for as long as this is polled; it never ends. The one of
/// that name, or the first.
pub async fn follow(
    heads: Result<Heads, Fixed>,
    name: Option<String>,
    wanted: &Latest<Mode>,
) -> std::convert::Infallible {
    match try_follow(heads, name, wanted).await {
        Ok(never) => match never {},
        Err(Fixed::Gone(why)) => debug!(why, "the guest's outputs are not told of any more"),
        Err(why) => info!("the guest's output keeps its size ({why}): the picture is scaled to the window"),
    }
    std::future::pending().await
}

async fn try_follow(
    heads: Result<Heads, Fixed>,
    name: Option<String>,
    wanted: &Latest<Mode>,
) -> Result<std::convert::Infallible, Fixed> {
    let Heads(mut client) = heads?;
    client.state.shown = name;
    loop {
        let mode = {
            let (wish, reading) = (pin!(wanted.next()), pin!(client.read_on()));
            match select(wish, reading).await {
                Either::Left((mode, _)) => mode,
                Either::Right((lost, _)) => return Err(lost.into()),
            }
        };
        client.set(mode).await?;
    }
}

impl Client<Outputs> {
    /// Gives the headless output this mode.
    async fn set(&mut self, mode: Mode) -> Result<(), Fixed> {
        for _ in 0..TRIES {
            match self.try_set(mode).await? {
                Outcome::Succeeded => {
                    debug!(?mode, "the guest's output");
                    return Ok(());
                }
                Outcome::Failed => break,
                // What has changed meanwhile came before that answer.
                Outcome::Cancelled => {}
            }
        }
        Err(Fixed::Refused(mode.width, mode.height))
    }

    async fn try_set(&mut self, mode: Mode) -> Result<Outcome, Fixed> {
        let queue = self.queue.handle();
        let manager = self.state.manager.as_ref().ok_or(Fixed::NoManager)?;
        let is_ours =
            |head: &Head| head.is_headless() && self.state.shown.as_ref().is_none_or(|shown| *shown == head.name);
        let ours = self.state.heads.iter().position(is_ours).ok_or(Fixed::NoHeadless)?;
        if self.state.mode(&self.state.heads[ours]) == Some(mode) {
            // Whoever records it would begin anew for nothing.
            return Ok(Outcome::Succeeded);
        }
        self.state.outcome = None;
        let configuration = manager.create_configuration(self.state.serial, &queue, ());
        // Every output has to be named, or the configuration is in error.
        for (index, head) in self.state.heads.iter().enumerate() {
            if index == ours {
                let ours = configuration.enable_head(&head.proxy, &queue, ());
                // i32 has room for any mode.
                let [width, height, refresh] = [mode.width, mode.height, mode.refresh].map(u32::cast_signed);
                ours.set_custom_mode(width, height, refresh);
            } else if head.enabled {
                configuration.enable_head(&head.proxy, &queue, ());
            } else {
                configuration.disable_head(&head.proxy);
            }
        }
        configuration.apply();
        let outcome = loop {
            if let Some(outcome) = self.state.outcome.take() {
                break outcome;
            }
            self.turn().await?;
        };
        configuration.destroy();
        Ok(outcome)
    }
}

/// How a configuration went.
enum Outcome {
    Succeeded,
    Failed,
    Cancelled,
}

struct Head {
    proxy: ZwlrOutputHeadV1,
    name: String,
    enabled: bool,
    /// Its top left corner, in logical pixels.
    position: (i32, i32),
    mode: Option<ZwlrOutputModeV1>,
}

impl Head {
    fn is_headless(&self) -> bool {
        self.enabled && self.name.starts_with(HEADLESS)
    }
}

/// What the compositor has told.
#[derive(Default)]
struct Outputs {
    manager: Option<ZwlrOutputManagerV1>,
    heads: Vec<Head>,
    modes: Vec<(ZwlrOutputModeV1, Mode)>,
    serial: u32,
    outcome: Option<Outcome>,
    /// The one that is shown, where that is known.
    shown: Option<String>,
}

impl Outputs {
    /// The mode that an output has.
    fn mode(&self, head: &Head) -> Option<Mode> {
        let current = head.mode.as_ref()?;
        self.modes.iter().find(|(proxy, _)| proxy == current).map(|(_, mode)| *mode)
    }
}

impl Dispatch<WlRegistry, ()> for Outputs {
    fn event(
        outputs: &mut Self,
        registry: &WlRegistry,
        event: wl_registry::Event,
        (): &(),
        _: &Connection,
        queue: &QueueHandle<Self>,
    ) {
        if let wl_registry::Event::Global { name, interface, version } = event {
            if interface == ZwlrOutputManagerV1::interface().name && outputs.manager.is_none() {
                outputs.manager = Some(registry.bind(name, version.min(4), queue, ()));
            }
        }
    }
}

impl Dispatch<ZwlrOutputManagerV1, ()> for Outputs {
    fn event(
        outputs: &mut Self,
        _: &ZwlrOutputManagerV1,
        event: zwlr_output_manager_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            zwlr_output_manager_v1::Event::Head { head } => {
                outputs.heads.push(Head {
                    proxy: head,
                    name: String::new(),
                    enabled: false,
                    position: (0, 0),
                    mode: None,
                });
            }
            zwlr_output_manager_v1::Event::Done { serial } => outputs.serial = serial,
            _ => {}
        }
    }

    event_created_child!(Outputs, ZwlrOutputManagerV1, [
        zwlr_output_manager_v1::EVT_HEAD_OPCODE => (ZwlrOutputHeadV1, ()),
    ]);
}

impl Dispatch<ZwlrOutputHeadV1, ()> for Outputs {
    fn event(
        outputs: &mut Self,
        proxy: &ZwlrOutputHeadV1,
        event: zwlr_output_head_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let Some(index) = outputs.heads.iter().position(|head| head.proxy == *proxy) else { return };
        match event {
            zwlr_output_head_v1::Event::Name { name } => outputs.heads[index].name = name,
            zwlr_output_head_v1::Event::Enabled { enabled } => outputs.heads[index].enabled = enabled != 0,
            zwlr_output_head_v1::Event::Position { x, y } => outputs.heads[index].position = (x, y),
            zwlr_output_head_v1::Event::Mode { mode } => {
                outputs.modes.push((mode, Mode { width: 0, height: 0, refresh: 0 }));
            }
            zwlr_output_head_v1::Event::CurrentMode { mode } => outputs.heads[index].mode = Some(mode),
            zwlr_output_head_v1::Event::Finished => drop(outputs.heads.remove(index)),
            _ => {}
        }
    }

    event_created_child!(Outputs, ZwlrOutputHeadV1, [
        zwlr_output_head_v1::EVT_MODE_OPCODE => (ZwlrOutputModeV1, ()),
    ]);
}

impl Dispatch<ZwlrOutputModeV1, ()> for Outputs {
    fn event(
        outputs: &mut Self,
        proxy: &ZwlrOutputModeV1,
        event: zwlr_output_mode_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let Some(index) = outputs.modes.iter().position(|(mode, _)| mode == proxy) else { return };
        let mode = &mut outputs.modes[index].1;
        match event {
            zwlr_output_mode_v1::Event::Size { width, height } => {
                (mode.width, mode.height) = (width.cast_unsigned(), height.cast_unsigned());
            }
            zwlr_output_mode_v1::Event::Refresh { refresh } => mode.refresh = refresh.cast_unsigned(),
            zwlr_output_mode_v1::Event::Finished => drop(outputs.modes.remove(index)),
            _ => {}
        }
    }
}

impl Dispatch<ZwlrOutputConfigurationV1, ()> for Outputs {
    fn event(
        outputs: &mut Self,
        _: &ZwlrOutputConfigurationV1,
        event: zwlr_output_configuration_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        outputs.outcome = Some(match event {
            zwlr_output_configuration_v1::Event::Succeeded => Outcome::Succeeded,
            zwlr_output_configuration_v1::Event::Cancelled => Outcome::Cancelled,
            _ => Outcome::Failed,
        });
    }
}

delegate_dispatch!(Outputs: [WlCallback: Answered] => Answered);
delegate_noop!(Outputs: ZwlrOutputConfigurationHeadV1);
