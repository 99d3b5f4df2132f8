//! Test harness: starts brokers, runs clients.
