//! Components and helpers that several views share.

pub mod action_status;
pub mod breakable;
pub mod confirm_button;
pub mod copy;
pub mod dialog;
pub mod field;
pub mod form;
pub mod history;
pub mod icon;
pub mod lazy_view;
pub mod link_form;
pub mod link_token;
pub mod loaded;
pub mod log_out_here;
pub mod new_account;
pub mod new_password;
pub mod notice;
pub mod other_account_notice;
pub mod reauth_prompt;
pub mod rows;
pub mod signed_in_or;
pub mod strength;
pub mod switcher;
