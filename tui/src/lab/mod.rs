//! The laboratory's plain data: what drills, their timelines and the course consist of.
//!
//! Whoever starts the UI on a local cluster fills these in and takes commands back
//! (`crate::fleet`); nothing here knows how a drill is run. [`timeline`] is the picture that
//! drills and course share, [`application`] what uses the cluster meanwhile, [`drill`] what a drill says about itself, [`course`] the pages of
//! the guided course and [`predicate`] what their ticks wait for.

pub mod application;
pub mod course;
pub mod drill;
pub mod lanes;
pub mod link;
pub mod predicate;
pub mod timeline;
