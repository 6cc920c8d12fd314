// Package schema converts events to the bytes on the topics and back: Avro in Confluent's wire
// format, with the schemas in a Confluent-compatible registry. It is the only package that depends
// on the Avro library and the registry's client.
//
// Wire format: byte 0, the writer schema's id as 4 bytes big-endian, Avro binary.
//
// # What it guarantees
//
//   - Bytes of an older or newer compatible schema decode into this build's type, by Avro's schema
//     resolution. Every published event decodes to equal values (a contract keeps golden records).
//   - Malformed bytes of any kind return an error, never a panic, an endless loop or an absurd
//     allocation. The bytes are checked against the writer's schema before anything is built from
//     them, whatever the library checks.
//   - Time and memory are in proportion to the bytes, except for 100,000 items of arrays and maps,
//     twice as many values that take no bytes, and 32 MiB of JSON.
//   - A decoded text contains neither invalid UTF-8 nor NUL, even one that was written as bytes,
//     and a decoded time is in the years 1 to 9999. So Postgres can store all of it.
//   - A logical type is read only as itself.
//   - Once a schema was registered or looked up, the registry may be down.
//   - Everything is safe for concurrent use; simultaneous lookups of one id are one request.
//
// A registry that is down, read-only, slow or temporarily wrong does not make a record fail for
// good. Decode and Encode wait for it no longer than [Config].Patience, and their error is
// Transient for as long as that lasts. A schema id counts as unknown when the registry has denied
// it for the grace period and then has the schemas that it must have. A thousand unknown ids cost
// one grace period: all wait at the same time, and those that arrive soon after wait for a
// thirtieth of it. A schema that the registry has is used without writing anything.
//
// # What it does not
//
// It does not guarantee that a decoded event makes sense. The codec does not guarantee compatibility,
// which the registry checks when a schema is registered; [Level.Check] and [Mismatches] decide about it
// without a registry. A program that has cached no schema yet
// does not notice a wrong registry, because it has nothing to compare.
//
// # How it fails
//
// Errors have a kind of pkg/errs: Transient when the registry cannot be asked now, or refuses a
// necessary write; Hopeless when asking or trying again cannot help.
package schema
