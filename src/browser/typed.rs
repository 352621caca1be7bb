//! Stores typed text while the elements around it are replaced.

use std::cell::RefCell;

use leptos::{
    prelude::{document, request_animation_frame},
    wasm_bindgen::JsCast,
    web_sys::{Element, FocusOptions, HtmlElement, HtmlInputElement, HtmlSelectElement},
};

/// The texts of changed inputs inside an element, the values of its selects, and the focus.
#[derive(Default)]
pub struct Typed {
    texts: Vec<(String, String)>,
    focus: Option<Focus>,
}

struct Focus {
    id: String,
    selection: Option<(u32, u32)>,
}

impl Typed {
    /// Reads everything that was typed inside an element, and the focus.
    #[must_use]
    pub fn read(root: &Element) -> Self {
        let mut typed = Self { texts: texts(root, |_| true), focus: None };
        typed.focus = document()
            .active_element()
            .filter(|active| root.contains(Some(active)))
            .map(|active| Focus { id: active.id(), selection: active.dyn_ref().and_then(selection) });
        typed
    }

    /// Reads the texts that were typed inside an element, except passwords, which are never stored longer than needed.
    #[must_use]
    pub fn read_without_passwords(root: &Element) -> Self {
        Self { texts: texts(root, |input| !input.autocomplete().ends_with("password")), focus: None }
    }

    /// Adds newer texts. A newer text replaces an older text of the same input.
    pub fn add(&mut self, newer: Self) {
        self.texts.retain(|(id, _)| newer.texts.iter().all(|(other, _)| other != id));
        self.texts.extend(newer.texts);
    }

    /// Restores each text in the input with the same id, unless something was typed there. Also restores the focus.
    pub fn restore(&self) {
        for (id, text) in &self.texts {
            let Some(element) = document().get_element_by_id(id) else { continue };
            if let Some(input) = element.dyn_ref::<HtmlInputElement>() {
                if input.value() == input.default_value() {
                    input.set_value(text);
                }
            } else if let Some(select) = element.dyn_ref::<HtmlSelectElement>() {
                select.set_value(text);
            }
        }
        if let Some(Focus { id, selection }) = &self.focus {
            focus(id, *selection);
        }
    }
}

thread_local! {
    /// The texts from the forms of earlier views.
    static STORED: RefCell<Typed> = RefCell::default();
}

/// Stores the texts of the current view before another view replaces it.
pub fn store() {
    if let Ok(Some(view)) = document().query_selector(".view") {
        let typed = Typed::read_without_passwords(&view);
        STORED.with_borrow_mut(|stored| stored.add(typed));
    }
}

/// Restores the texts once the browser has drawn the current view.
pub fn restore() {
    request_animation_frame(|| STORED.with_borrow(Typed::restore));
}

/// Deletes the stored texts, so that the next user of the browser can't see them.
pub fn forget() {
    STORED.take();
}

fn texts(root: &Element, is_included: fn(&HtmlInputElement) -> bool) -> Vec<(String, String)> {
    let (inputs, selects) = (root.get_elements_by_tag_name("input"), root.get_elements_by_tag_name("select"));
    let inputs = (0..inputs.length()).filter_map(|at| inputs.item(at)?.dyn_into::<HtmlInputElement>().ok());
    let inputs = inputs.filter(|input| is_included(input) && input.value() != input.default_value());
    let selects = (0..selects.length()).filter_map(|at| selects.item(at)?.dyn_into::<HtmlSelectElement>().ok());
    let texts = inputs.map(|input| (input.id(), input.value()));
    texts.chain(selects.map(|select| (select.id(), select.value()))).filter(|(id, _)| !id.is_empty()).collect()
}

/// The selection in an input. Some input types have none.
fn selection(input: &HtmlInputElement) -> Option<(u32, u32)> {
    Some((input.selection_start().ok()??, input.selection_end().ok()??))
}

fn focus(id: &str, selection: Option<(u32, u32)>) {
    let Some(element) = document().get_element_by_id(id) else { return };
    let Ok(element) = element.dyn_into::<HtmlElement>() else { return };
    let options = FocusOptions::new();
    options.set_prevent_scroll(true);
    drop(element.focus_with_options(&options));
    if let (Some((start, end)), Some(input)) = (selection, element.dyn_ref::<HtmlInputElement>()) {
        drop(input.set_selection_range(start, end));
    }
}
