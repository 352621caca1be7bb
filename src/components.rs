//! What several views share.

pub mod ask_once;
pub mod breakable;
pub mod confirm;
pub mod copy;
pub mod dialog;
pub mod dom;
pub mod elsewhere;
pub mod field;
pub mod form;
pub mod gate;
pub mod icon;
pub mod later;
pub mod link_form;
pub mod link_token;
pub mod loaded;
pub mod log_out_here;
pub mod notice;
pub mod outcome;
pub mod strength;
pub mod switcher;
pub mod typed;
