//! The hub driven by fakes: one reactor's hub without sockets, the router without a backplane.

mod fakes;
mod model;
mod routing;
mod subscribing;
