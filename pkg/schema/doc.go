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
// A registry that is down, read-only, slow or wrong for a moment blames no record: Decode
// and Encode do not wait for it, and their error is Transient for as long as it lasts. A
// schema id is unknown when the registry has denied it for the grace period and then knows
// what it must know. A thousand unknown ids cost one grace period: all wait at the same
// time, and those that come soon after wait for a thirtieth of it. A schema that the
// registry has is used without writing anything.
//
// Not guaranteed: that what was decoded makes sense; compatibility, which the registry
// checks when a schema is registered; and that a program which has learnt nothing yet
// notices a wrong registry, for it has nothing to compare.
//
// Failures have a kind of pkg/errs: Transient when the registry cannot be asked now, or
// refuses what has to be written; Hopeless when asking or trying again cannot help.
package schema
