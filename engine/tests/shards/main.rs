//! Shards on simulated rings and disks: what they promise, step by step and by random schedules.

mod client;
mod consuming;
mod dead_letter_schedules;
mod dead_letters;
mod definitions;
mod disk;
mod durability;
mod exchanges;
mod held_schedules;
mod limits;
mod long_bodies;
mod long_deliveries;
mod long_transfers;
mod model;
mod policies;
mod precedence;
mod random;
mod removal;
mod schedules;
mod sharing;
mod space;
mod spilling;
mod transactions;
mod trimming;
mod values;
mod world;
