// Package event is the mechanism of integration events, without any event of its own: the interface
// of an event, the catalogue of the types that a system has, the envelope that travels beside an
// event in Kafka headers, and how topics are created. The catalogue is a value: a system builds it
// from its generated types and passes it to the code that needs it.
//
// It guarantees that its values are immutable after they were built and safe for concurrent use,
// and that [ParseEnvelope] accepts exactly what a service can act on and store. It does not
// guarantee that the content of an event makes sense; the receiving aggregate judges that. The
// bytes on the wire belong to package schema. Failures are of kind errs.Hopeless, because trying
// again does not repair a broken envelope.
package event
