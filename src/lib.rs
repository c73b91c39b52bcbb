//! smache: a distributed cache served over HTTP, built from supervised actors.
//!
//! Layers, each naming itself and lower ones only: `limits`, `clock`, `metrics`, `notation`, `quiet`, `glob`; `entry`, `member`,
//! `supervision`; `record`, `partition`, `ids`, `trace`, `census`, `registry`; `command`, `error`, `policy`; `config`, `log`, `table`; `peer`; `shard`, `hub`;
//! `router`; `cluster`; `cache`; `door`; `front`; `node`. Beside them stands `client`, which knows a node
//! only over HTTP. `ARCHITECTURE.md` shows how they fit.

pub mod limits;
pub mod clock;
pub mod metrics;
pub mod notation;
pub mod quiet;
pub mod glob;

pub mod entry;
pub mod member;
pub mod supervision;

pub mod record;
pub mod partition;
pub mod ids;
pub mod trace;
pub mod document;
pub mod census;
pub mod registry;

pub mod command;
pub mod error;
pub mod policy;

pub mod config;
pub mod log;
pub mod table;

pub mod peer;

pub mod shard;
pub mod hub;

pub mod router;

pub mod cluster;

pub mod cache;

pub mod door;

pub mod front;

pub mod node;

pub mod client;
