//! The views, one file each. Each file also has the server functions that its view calls.

pub mod account;
pub mod confirm_email;
pub mod forgot;
pub mod home;
mod invite;
pub mod login;
pub mod logout;
pub mod not_found;
mod operators;
pub mod private;
pub mod register;
pub mod reset;
pub mod secondary;
mod setup;
pub mod undo_email;
pub mod verify;
