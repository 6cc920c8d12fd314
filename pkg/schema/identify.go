package schema

import "context"

// WriterID returns the id of the schema that a value was written with; ok is false for a
// value that is not in wire format.
func WriterID(b []byte) (id int, ok bool) {
	id, _, err := unframe(b)
	return id, err == nil
}

// SubjectOf returns the fully-qualified name of the record whose schema has an id, for tools. Like
// [Codec.DecodeAtOnce], it asks the registry directly. errs.Transient when the registry cannot be
// asked, errs.Hopeless when it has no such schema or none in Avro.
func (c *Codec) SubjectOf(ctx context.Context, id int) (string, error) {
	writer, err := c.writer(ctx, id)
	if err != nil {
		return "", err
	}
	return writer.root.typeName(), nil
}
