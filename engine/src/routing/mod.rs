//! Matching of routing keys and headers against bindings. Pure functions of bytes; knows no queue.
