// Package events is the contract between the services: the Go type of every
// integration event, the catalogue that says which topic carries it and under which
// key and subject, and the envelope that travels beside it in Kafka headers.
//
// Events are facts in the past tense, one type per fact. Their types are generated
// from schemas/*.avsc by scripts/generate; the catalogue is written by hand and a test
// keeps the two in step.
//
// Guarantees: everything here is immutable and safe for concurrent use; ParseEnvelope
// accepts exactly what a service can act on and store. Not guaranteed: that an event's
// content makes sense (that is for the receiving aggregate to judge) and its bytes on
// the wire, which are pkg/schema's. Failures are of kind errs.Hopeless: a record with a
// broken envelope does not get better by trying again.
//
// To add an event: write its schema, run scripts/generate, add one line to the
// catalogue.
package events
