// Package events is the contract between the services: the Go type of every integration event of
// this shop, and the catalogue that lists its topic, key and subject. Package event has the
// mechanism (envelope, headers, catalogue, topics). Within pkg only this package depends on the
// shop's domain.
//
// Events are facts in the past tense, one type per fact. Their types are generated from
// schemas/*.avsc by scripts/generate. The catalogue is written by hand, and a test keeps it
// consistent with the types.
//
// To add an event: write its schema, run scripts/generate, add one line to the catalogue.
package events
