//! End-to-end suites against the shipped binary.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admin;
mod architecture;
mod backup;
mod canary;
mod carrier;
mod configuration;
mod contract;
mod corpus;
mod drain;
mod edge;
mod guests;
mod hostile;
mod keycloak;
mod keycloak_ground;
mod kill;
mod links;
mod mail;
mod outage;
mod people;
mod plugins;
mod reload;
mod replay;
mod replicas;
mod settings;
mod signatures;
mod story;
mod thirdparty;
mod tour;
mod wire;
