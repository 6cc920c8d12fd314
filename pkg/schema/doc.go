// Package schema turns events into the bytes on the topics and back: Avro in
// Confluent's wire format, with the schemas in a Confluent-compatible registry. It is
// the only package that knows the Avro library and the registry's client.
//
// Wire format: byte 0, the writer schema's id as 4 bytes big-endian, Avro binary.
//
// Guarantees: bytes of an older or newer compatible schema decode into this build's
// type, by Avro's schema resolution, and what was ever published decodes to equal values
// (testdata/golden). Rubbish of any kind gives an error, never a panic, an endless loop or
// an absurd allocation: the bytes are checked against the writer's schema before anything
// is built from them, whatever the library checks. Time and memory are in proportion to
// the bytes, but for 100,000 items of arrays and maps, twice as many values that take no bytes,
// and 32 MiB of JSON. A decoded text holds neither invalid UTF-8 nor NUL, also one that was
// written as bytes, and a decoded time lies in the years 1 to 9999, so all of it can be
// stored in Postgres. A logical type is read as itself only. Once a schema was registered
// or looked up, the registry may be down. Everything is safe for concurrent use;
// simultaneous lookups of one id are one request.
//
// Not guaranteed: that what was decoded makes sense; and compatibility, which the
// registry checks when a schema is registered.
//
// Failures have a kind of pkg/errs: Transient when the registry cannot be asked now,
// Hopeless when asking or trying again cannot help.
package schema
