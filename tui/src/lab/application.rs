//! A small application that uses the cluster while a drill runs: who of its clients does what.

/// The applications there are, and what their clients do. `src/screen` proves that they are
/// those that can be started.
pub const ALL: [(&str, &str); 5] = [
    ("lock", "three clients take turns at a resource that trusts whoever writes"),
    ("fenced-lock", "three clients take turns at a resource that refuses tokens of older turns"),
    ("discovery", "three instances register under leases, two consumers keep a list of them"),
    ("configuration", "two editors change a key by compare-and-swap, three consumers watch it"),
    ("election", "three candidates, each at a member of its own, and an observer of who leads"),
];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientState {
    #[default]
    Running,
    Paused,
    Crashed,
}

/// One client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientLine {
    pub name: String,
    pub state: ClientState,
    /// Whether it has what the application is about: the lock, the leadership, a registration.
    pub active: bool,
    pub text: String,
}

/// The application at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationPicture {
    pub name: String,
    pub clients: Vec<ClientLine>,
    /// What stands outside of the cluster.
    pub outside: Option<String>,
    /// What is counted, in one line.
    pub counts: String,
    /// The first promise that was broken.
    pub broken: Option<String>,
}
