//! The errors that a request handler can return, by its signature: those of its arguments, and those that its result
//! names. So the documentation follows from the code.

use axum::response::Response;

use crate::{
    error::AppError,
    http::{
        extract::Argument,
        response::{ApiError, ErrorFormat, OperationErrors},
    },
};

/// What a request handler returns.
pub trait Outcome {
    /// The format of its errors.
    const FORMAT: ErrorFormat;

    /// The errors that the operation can return, besides those of its arguments.
    fn errors() -> Vec<AppError>;
}

impl<T, E: OperationErrors> Outcome for Result<T, ApiError<E>> {
    const FORMAT: ErrorFormat = E::FORMAT;

    fn errors() -> Vec<AppError> {
        E::errors()
    }
}

/// A handler without errors of its own.
impl Outcome for Response {
    const FORMAT: ErrorFormat = ErrorFormat::Api;

    fn errors() -> Vec<AppError> {
        Vec::new()
    }
}

/// A request handler with the arguments `A`.
pub trait Operation<A> {
    /// The format of its errors.
    const FORMAT: ErrorFormat;

    /// The errors that it can return, each once, by status.
    fn errors() -> Vec<AppError>;
}

macro_rules! operation {
    ($($argument:ident)+) => {
        impl<H, F, $($argument),+> Operation<($($argument,)+)> for H
        where
            H: Fn($($argument),+) -> F,
            F: Future<Output: Outcome>,
            $($argument: Argument,)+
        {
            const FORMAT: ErrorFormat = <F::Output as Outcome>::FORMAT;

            fn errors() -> Vec<AppError> {
                let mut errors = Vec::new();
                for error in [$($argument::errors(),)+ F::Output::errors()].concat() {
                    if !errors.contains(&error) {
                        errors.push(error);
                    }
                }
                errors.sort_by_key(AppError::status);
                errors
            }
        }
    };
}

operation!(A);
operation!(A B);
operation!(A B C);
operation!(A B C D);
operation!(A B C D E);
