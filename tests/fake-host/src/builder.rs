//! What kind of host to be: globals, versions, outputs, formats, policies and quirks.
//! Only describes; [`Builder::start`] hands the description to the thread that acts on it.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::FakeHost;
use crate::record::WindowState;

/// DRM fourccs by the names people use.
#[allow(missing_docs, reason = "drm_fourcc.h names them")]
pub mod fourcc {
    pub const ARGB8888: u32 = u32::from_le_bytes(*b"AR24");
    pub const XRGB8888: u32 = u32::from_le_bytes(*b"XR24");
    pub const ABGR8888: u32 = u32::from_le_bytes(*b"AB24");
    pub const XBGR8888: u32 = u32::from_le_bytes(*b"XB24");
    pub const XRGB2101010: u32 = u32::from_le_bytes(*b"XR30");
    pub const ARGB2101010: u32 = u32::from_le_bytes(*b"AR30");
    pub const NV12: u32 = u32::from_le_bytes(*b"NV12");
}

/// DRM format modifiers every driver knows.
pub mod modifier {
    /// `DRM_FORMAT_MOD_LINEAR`.
    pub const LINEAR: u64 = 0;
    /// `DRM_FORMAT_MOD_INVALID`: the layout is implied by the buffer.
    pub const INVALID: u64 = 0x00ff_ffff_ffff_ffff;
}

/// An output, as `wl_output` describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// Physical pixels.
    pub width: i32,
    /// Physical pixels.
    pub height: i32,
    /// Refresh rate in mHz.
    pub refresh_mhz: i32,
    /// Integer scale.
    pub scale: i32,
}

impl Output {
    /// At scale 1.
    pub const fn new(width: i32, height: i32, refresh_mhz: i32) -> Self {
        Self { width, height, refresh_mhz, scale: 1 }
    }

    /// Size in the compositor's coordinates.
    pub(crate) fn logical(&self) -> (i32, i32) {
        let scale = self.scale.max(1);
        (self.width / scale, self.height / scale)
    }
}

/// One tranche of dmabuf feedback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tranche {
    /// `dev_t` of the target device.
    pub device: u64,
    /// Carries the scanout flag.
    pub scanout: bool,
    /// Fourcc and modifier pairs, by preference.
    pub formats: Vec<(u32, u64)>,
}

/// Whether and how `zwp_linux_dmabuf_v1` exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dmabuf {
    /// No such global: a host without a GPU.
    Absent,
    /// Version 3: formats as `modifier` events.
    V3(Vec<(u32, u64)>),
    /// Version 4 or 5: feedback, and no format events at all.
    Feedback {
        /// 4 or 5.
        version: u32,
        /// `dev_t` of the main device.
        main_device: u64,
        /// By preference.
        tranches: Vec<Tranche>,
    },
}

impl Dmabuf {
    /// Feedback with a single tranche on the main device.
    pub fn feedback(version: u32, main_device: u64, formats: Vec<(u32, u64)>) -> Self {
        Self::Feedback {
            version,
            main_device,
            tranches: vec![Tranche { device: main_device, scanout: false, formats }],
        }
    }

    /// Every pair advertised, in order, repeats included.
    pub(crate) fn pairs(&self) -> Vec<(u32, u64)> {
        match self {
            Self::Absent => Vec::new(),
            Self::V3(formats) => formats.clone(),
            Self::Feedback { tranches, .. } => tranches.iter().flat_map(|t| t.formats.iter().copied()).collect(),
        }
    }

    pub(crate) fn version(&self) -> Option<u32> {
        match self {
            Self::Absent => None,
            Self::V3(_) => Some(3),
            Self::Feedback { version, .. } => Some(*version),
        }
    }
}

/// Which DMA-BUFs the host's "GPU" takes. Only asked about fourccs that are advertised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportPolicy {
    /// All of them.
    Accept,
    /// None: `create` gets `failed`, `create_immed` kills.
    RefuseAll,
    /// All but these pairs.
    Refuse(Vec<(u32, u64)>),
    /// None of the next so many, then all.
    RefuseNext(usize),
    /// `create` is not answered, unless by [`FakeHost::answer_imports`].
    Silent,
}

/// When `wl_buffer.release` is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleasePolicy {
    /// Shm buffers at once after their commit, as compositors that upload do; DMA-BUFs on
    /// replacement.
    AtOnce,
    /// Every buffer when a commit replaces it by a different one; attaching the same one again
    /// releases nothing. One buffer is always lent.
    OnReplacement,
    /// Only by [`FakeHost::release`] and [`FakeHost::release_replaced`].
    Manual,
}

/// When pointer constraints take force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConstraintPolicy {
    /// As soon as the pointer is over the surface.
    AtOnce,
    /// Only by `pointer().activate_constraint()`.
    Manual,
}

/// A host that is broken in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The socket file exists, nobody listens.
    NobodyListens,
    /// Connections are closed as soon as they are accepted.
    CloseAtOnce,
    /// Connections are accepted, and nothing is ever read or written.
    NeverAnswers,
    /// Connections are answered with bytes that are no Wayland message.
    Garbage,
    /// The dmabuf feedback's format table lies. Needs [`Dmabuf::Feedback`].
    FormatTable(BadTable),
}

/// How a dmabuf format table can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTable {
    /// The fd is the read end of a pipe: it cannot be mapped.
    Pipe,
    /// The file is half as long as its stated size: reading a mapping of it would be fatal.
    ShorterThanSaid,
    /// The stated size is no multiple of 16.
    OddSize,
    /// Stated size 0, empty file.
    Empty,
    /// Tranches index behind the table's end.
    IndexOutOfRange,
}

/// Single habits in which hosts differ; [`Builder::quirks`] sets them one at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quirks {
    /// The first attached buffer stays invisible until another commit follows.
    pub hides_first_buffer: bool,
    /// `set_fullscreen` or `set_max_size` before the first commit is answered by a stateless 0x0
    /// configure at once, and the window maps unsized.
    pub early_requests_unsize: bool,
    /// The initial configure carries the output's size, fullscreen and activated.
    pub opens_fullscreen: bool,
    /// A first commit without any output makes the host forget the window.
    pub drops_window_without_output: bool,
    /// A change of mode is told by `wl_output.mode` and a configure of 0x0.
    pub resizes_by_mode: bool,
    /// Pointer positions end at (width - 2, height - 2).
    pub clamps_pointer: bool,
    /// Every `wl_keyboard.modifiers` carries group 0, whatever the layout.
    pub group_zero: bool,
    /// `wl_pointer.axis` value of one wheel notch.
    pub wheel_notch: f64,
    /// Ctrl+Shift+Q becomes `xdg_toplevel.close`.
    pub close_on_ctrl_shift_q: bool,
    /// Presentation feedback waits for a render that had damage.
    pub presents_damage_only: bool,
    /// Damage without an attached buffer is lost.
    pub damage_needs_buffer: bool,
    /// DMA-BUFs with a modifier that is not advertised are tried, not refused.
    pub tries_unlisted_modifiers: bool,
    /// Version 3 dmabuf binds hear each pair twice.
    pub repeats_modifiers: bool,
    /// The selection is told after the keyboard's `enter`, and not before it.
    pub selection_after_enter: bool,
}

impl Quirks {
    /// An ordinary compositor.
    pub const ORDINARY: Self = Self {
        hides_first_buffer: false,
        early_requests_unsize: false,
        opens_fullscreen: false,
        drops_window_without_output: false,
        resizes_by_mode: false,
        clamps_pointer: false,
        group_zero: false,
        wheel_notch: 15.0,
        close_on_ctrl_shift_q: false,
        presents_damage_only: false,
        damage_needs_buffer: false,
        tries_unlisted_modifiers: false,
        repeats_modifiers: false,
        selection_after_enter: false,
    };

    /// Wolf.
    pub const WOLF: Self = Self {
        hides_first_buffer: true,
        early_requests_unsize: true,
        opens_fullscreen: true,
        drops_window_without_output: true,
        resizes_by_mode: true,
        clamps_pointer: true,
        group_zero: true,
        wheel_notch: 3.0,
        close_on_ctrl_shift_q: true,
        presents_damage_only: true,
        damage_needs_buffer: true,
        tries_unlisted_modifiers: true,
        repeats_modifiers: true,
        selection_after_enter: true,
    };
}

/// Everything an ordinary compositor has, except dmabuf, whose version [`Dmabuf`] decides.
const ORDINARY_GLOBALS: &[(&str, u32)] = &[
    ("wl_compositor", 6),
    ("wl_subcompositor", 1),
    ("wl_shm", 2),
    ("xdg_wm_base", 6),
    ("wl_output", 4),
    ("zxdg_output_manager_v1", 3),
    ("wl_seat", 9),
    ("wl_data_device_manager", 3),
    ("wp_viewporter", 1),
    ("wp_presentation", 2),
    ("zwp_relative_pointer_manager_v1", 1),
    ("zwp_pointer_constraints_v1", 1),
    ("wp_single_pixel_buffer_manager_v1", 1),
    ("wp_fractional_scale_manager_v1", 1),
    ("zxdg_decoration_manager_v1", 1),
];

/// What [`ORDINARY_GLOBALS`] has and Wolf lacks.
const NOT_IN_WOLF: &[&str] = &["wp_fractional_scale_manager_v1", "zxdg_decoration_manager_v1"];

/// A listener for commits; see [`Builder::on_commit`].
#[derive(Clone)]
pub(crate) struct OnCommit(pub Arc<dyn Fn(BorrowedFd<'_>, u64) + Send + Sync>);

impl fmt::Debug for OnCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnCommit")
    }
}

/// The description the host's thread works from. The script may change parts of it later.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub globals: Vec<(String, u32)>,
    pub quirks: Quirks,
    pub dmabuf: Dmabuf,
    pub surface_dmabuf: Option<Dmabuf>,
    pub import: ImportPolicy,
    pub bad_table: Option<BadTable>,
    pub shm_formats: Vec<u32>,
    /// What had a release point gets no wl_buffer.release as well.
    pub releases_by_points_alone: bool,
    pub release: ReleasePolicy,
    pub constraints: ConstraintPolicy,
    pub auto_configure: bool,
    pub auto_focus: bool,
    pub initial: ((i32, i32), Vec<WindowState>),
    pub manual_frames: bool,
    pub tick: Duration,
    pub reads_pixels: bool,
    pub on_commit: Option<OnCommit>,
    pub watches_lent: bool,
    pub keymap: (String, String),
    pub repeat: (i32, i32),
}

/// Describes a host, then [starts](Self::start) it. See [`FakeHost::builder`].
#[derive(Clone, Debug)]
#[must_use = "a description does nothing until it is started"]
pub struct Builder {
    pub(crate) config: Config,
    pub(crate) outputs: Vec<Output>,
    pub(crate) socket_dir: Option<PathBuf>,
    pub(crate) socket_name: String,
    pub(crate) broken: Option<Broken>,
    refresh: Option<f64>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let globals = ORDINARY_GLOBALS.iter().map(|(name, version)| (String::from(*name), *version)).collect();
        Self {
            config: Config {
                globals,
                quirks: Quirks::ORDINARY,
                dmabuf: Dmabuf::feedback(
                    4,
                    0,
                    vec![
                        (fourcc::XRGB8888, modifier::LINEAR),
                        (fourcc::ARGB8888, modifier::LINEAR),
                        (fourcc::XRGB8888, modifier::INVALID),
                        (fourcc::ARGB8888, modifier::INVALID),
                    ],
                ),
                surface_dmabuf: None,
                import: ImportPolicy::Accept,
                bad_table: None,
                shm_formats: vec![fourcc::ARGB8888, fourcc::XRGB8888, fourcc::ABGR8888, fourcc::XBGR8888],
                releases_by_points_alone: false,
                release: ReleasePolicy::AtOnce,
                constraints: ConstraintPolicy::AtOnce,
                auto_configure: true,
                auto_focus: true,
                initial: ((0, 0), vec![WindowState::Activated]),
                manual_frames: false,
                tick: Duration::ZERO,
                reads_pixels: true,
                on_commit: None,
                watches_lent: false,
                keymap: ("us".into(), String::new()),
                repeat: (25, 600),
            },
            outputs: vec![Output::new(1280, 720, 60_000)],
            socket_dir: None,
            socket_name: "wayland-1".into(),
            broken: None,
            refresh: None,
        }
    }

    /// Be Wolf's compositor with its software renderer: its globals, formats and habits, and no
    /// dmabuf. Call it first: it resets globals, quirks, formats, release policy and key repeat.
    pub fn wolf(mut self) -> Self {
        self.config.globals = ORDINARY_GLOBALS
            .iter()
            .filter(|(name, _)| !NOT_IN_WOLF.contains(name))
            .map(|(name, version)| (String::from(*name), *version))
            .collect();
        self.config.quirks = Quirks::WOLF;
        self.config.dmabuf = Dmabuf::Absent;
        self.config.shm_formats = vec![fourcc::ARGB8888, fourcc::XRGB8888];
        self.config.release = ReleasePolicy::OnReplacement;
        self.config.repeat = (25, 200);
        self
    }

    /// Be Wolf's compositor on a virtio GPU: [`Self::wolf`], dmabuf version 5 with only implicit
    /// modifiers, and `wl_drm` advertised twice.
    pub fn wolf_with_gpu(self) -> Self {
        let formats =
            [fourcc::XRGB8888, fourcc::ARGB8888, fourcc::ABGR8888, fourcc::XRGB2101010].map(|f| (f, modifier::INVALID));
        let mut wolf = self.wolf().dmabuf(Dmabuf::feedback(5, 0, formats.to_vec()));
        for _ in 0..2 {
            wolf.config.globals.push(("wl_drm".into(), 2));
        }
        wolf
    }

    /// Put the socket into this folder, which must exist, instead of a temporary one.
    pub fn socket_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.socket_dir = Some(dir.into());
        self
    }

    /// Name the socket; `wayland-1` unless told.
    pub fn socket_name(mut self, name: impl Into<String>) -> Self {
        self.socket_name = name.into();
        self
    }

    /// Have this as the only output.
    pub fn output(mut self, output: Output) -> Self {
        self.outputs = vec![output];
        self
    }

    /// Have one more output.
    pub fn another_output(mut self, output: Output) -> Self {
        self.outputs.push(output);
        self
    }

    /// Have no output, until [`FakeHost::add_output`].
    pub fn without_output(mut self) -> Self {
        self.outputs.clear();
        self
    }

    /// Whether and how DMA-BUFs are spoken.
    pub fn dmabuf(mut self, dmabuf: Dmabuf) -> Self {
        self.config.dmabuf = dmabuf;
        self
    }

    /// What the feedback of a surface says, where that is not the same as in general.
    pub fn surface_dmabuf(mut self, dmabuf: Dmabuf) -> Self {
        self.config.surface_dmabuf = Some(dmabuf);
        self
    }

    /// Which DMA-BUFs are taken.
    pub fn import(mut self, policy: ImportPolicy) -> Self {
        self.config.import = policy;
        self
    }

    /// Shm formats advertised, as DRM fourccs.
    pub fn shm_formats(mut self, formats: impl IntoIterator<Item = u32>) -> Self {
        self.config.shm_formats = formats.into_iter().collect();
        self
    }

    /// Do not advertise this global.
    pub fn without(mut self, global: &str) -> Self {
        self.config.globals.retain(|(name, _)| name != global);
        if global == "zwp_linux_dmabuf_v1" {
            self.config.dmabuf = Dmabuf::Absent;
        }
        self
    }

    /// Advertise this global with this version. Also for `wp_linux_drm_syncobj_manager_v1`, which
    /// only records, and for names the fake does not know: those can be bound, and nothing more.
    pub fn with_version(mut self, global: &str, version: u32) -> Self {
        self.config.globals.retain(|(name, _)| name != global);
        self.config.globals.push((global.into(), version));
        self
    }

    /// Change single habits.
    pub fn quirks(mut self, change: impl FnOnce(&mut Quirks)) -> Self {
        change(&mut self.config.quirks);
        self
    }

    /// Be broken.
    pub fn broken(mut self, how: Broken) -> Self {
        match how {
            Broken::FormatTable(table) => self.config.bad_table = Some(table),
            _ => self.broken = Some(how),
        }
        self
    }

    /// When buffers are given back.
    pub fn release(mut self, policy: ReleasePolicy) -> Self {
        self.config.release = policy;
        self
    }

    /// Send no `wl_buffer.release` for what was committed with a release point: the protocol leaves that open.
    pub fn release_by_points_alone(mut self) -> Self {
        self.config.releases_by_points_alone = true;
        self
    }

    /// When pointer constraints take force.
    pub fn constraints(mut self, policy: ConstraintPolicy) -> Self {
        self.config.constraints = policy;
        self
    }

    /// Send no configure on the host's own account; the script calls [`FakeHost::configure`].
    pub fn manual_configure(mut self) -> Self {
        self.config.auto_configure = false;
        self
    }

    /// The initial configure of an ordinary host; 0x0 and activated unless told.
    pub fn initial_size(mut self, width: i32, height: i32, states: &[WindowState]) -> Self {
        self.config.initial = ((width, height), states.to_vec());
        self
    }

    /// Leave the keyboard focus to the script. Otherwise a window gets it when it is mapped.
    pub fn without_auto_focus(mut self) -> Self {
        self.config.auto_focus = false;
        self
    }

    /// Render only when the script calls [`FakeHost::render`].
    pub fn manual_frames(mut self) -> Self {
        self.config.manual_frames = true;
        self
    }

    /// Render this often; the first output's refresh rate unless told.
    pub fn refresh(mut self, hz: f64) -> Self {
        self.refresh = Some(hz);
        self
    }

    /// Never look at pixels: for benches. Screenshots are then unreadable.
    pub fn blind(mut self) -> Self {
        self.config.reads_pixels = false;
        self
    }

    /// Call this on the host's thread as soon as a surface commits a buffer in a file, with the file and the offset of
    /// the first pixel in it.
    pub fn on_commit(mut self, told: impl Fn(BorrowedFd<'_>, u64) + Send + Sync + 'static) -> Self {
        self.config.on_commit = Some(OnCommit(Arc::new(told)));
        self
    }

    /// Compare each lent buffer's bytes at its commit and its release; a change is an oddity.
    pub fn watch_lent_buffers(mut self) -> Self {
        self.config.watches_lent = true;
        self
    }

    /// The keymap by XKB layout and variant; `us` unless told.
    pub fn keymap(mut self, layout: &str, variant: &str) -> Self {
        self.config.keymap = (layout.into(), variant.into());
        self
    }

    /// Key repeat: rate per second and delay in ms.
    pub fn key_repeat(mut self, rate: i32, delay_ms: i32) -> Self {
        self.config.repeat = (rate, delay_ms);
        self
    }

    /// Listen. When this returns, a client can connect to [`FakeHost::socket`].
    ///
    /// # Errors
    /// The socket could not be made, a global does not exist in that version, or the keymap does
    /// not compile.
    pub fn start(mut self) -> std::io::Result<FakeHost> {
        let hz =
            self.refresh.unwrap_or_else(|| self.outputs.first().map_or(60.0, |o| f64::from(o.refresh_mhz) / 1000.0));
        self.config.tick = Duration::from_secs_f64(1.0 / hz.clamp(0.1, 10_000.0));
        FakeHost::launch(self)
    }
}
