//! The network between the nodes of a cluster, with faults.
//!
//! Members reach each other through a forward proxy of their own each. Which proxy was asked
//! tells who speaks, what it is asked for tells to whom: so every byte between two nodes
//! belongs to a *directed link*, and a fault ([`LinkFault`]) can be put on any of them, without
//! privileges and without the nodes' knowledge.
//!
//! The invariant: as long as a connection lives, what comes out of it is what went in, in
//! order. Faults delay, hold or end a connection; none ever takes a byte out of the middle.
//!
//! Left to others: which node a word like `leader` means ([`crate::selector`]), and what the
//! nodes do about all this.

mod cut;
mod exchange;
mod fault;
mod head;
mod lane;
mod plane;

pub use cut::{Cut, resolve};
pub use fault::{LinkFault, LinkView};
pub use plane::Plane;
