//! Supervision: one actor starts the others, restarts what panics, and shows what it does.
//!
//! One-for-one: a child that ends is started again and its siblings are left alone. Restarts have a
//! budget; past it something is wrong that restarting does not mend, so that the supervisor reports
//! it and the node ends instead of pretending to work. The supervisor waits for no child, so that
//! one that hangs keeps no other from being restarted.
//!
//! A child is described by its [`ChildSpec`], reached at its [`Post`], and takes what gathered for
//! it from an [`Inbox`]; the last two outlive its actors.

mod actor;
mod budget;
mod child;
mod inbox;
mod post;
mod supervisor;
mod tree;

#[cfg(test)]
mod tests;

pub use budget::RestartBudget;
pub use child::{ChildSpec, Orders, Running};
pub use inbox::{Inbox, NotAdded, Place, Places};
pub use post::Post;
pub use supervisor::{CrashError, Supervisor};
pub use tree::{Child, ChildState, Kind, Tree};
